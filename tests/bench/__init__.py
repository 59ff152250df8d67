"""The benchmark itself: that its peers do what they are compared for."""
