"""The Kubernetes operator: `SmscProvider` resources become registered providers."""
