"""The gateway: authenticates, parses, hands over by gRPC or to its journal. Never does business work."""
