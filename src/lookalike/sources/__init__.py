"""Images in object stores and archives: URLs as fsspec has them, objects, members of archives, and manifests."""
