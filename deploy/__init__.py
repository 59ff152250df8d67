"""What tcnat is packed into and run from: manifests, image, bundle, wheel, systemd unit."""
