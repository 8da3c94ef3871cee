"""Many devices and many processes: meshes, shards, rings, calls spread over them."""
