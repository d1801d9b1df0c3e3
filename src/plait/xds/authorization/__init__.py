"""AuthorizationPolicies as Envoy's filters: RBAC and external authorization, by Istio's names."""
