"""Output in a bucket: objects, copies, the lease, the mirror."""
