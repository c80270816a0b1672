"""Networks that denoise paths: a U-Net over fields of progress, a transformer over sequences."""
