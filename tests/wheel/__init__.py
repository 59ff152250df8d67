"""The wheel, installed where there is neither a checkout nor bcc."""
