// Stands before CAF's own header where that must not be needed.
#error "a client must not include CAF"
