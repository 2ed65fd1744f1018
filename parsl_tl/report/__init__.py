"""What a search does and did: views of its run as data, one page of them, and the page live."""
