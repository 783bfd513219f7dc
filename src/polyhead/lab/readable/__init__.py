"""Well-known algorithms written to be read: slower than those of the package, and tested against them."""
