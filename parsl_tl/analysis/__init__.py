"""What evolution and transfer did: common prefixes, expected transfer, donors and lineages."""
