"""The claims of docs/security.md: what a hostile pod can and cannot do, and what the agent itself may."""
