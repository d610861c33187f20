"""SmscProvider as a typed spec, and what makes the portal match it. Knows no Kubernetes client."""
