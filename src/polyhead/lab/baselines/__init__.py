"""What Transformers are compared with: small modules of the lab alone."""
