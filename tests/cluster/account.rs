//! An account with the operator's rights in one namespace alone, as with `rbac.scope: namespaces`.

use testkit::control_plane::ControlPlane;

/// The operator's account and its rights in one namespace.
pub const ROLE: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: operator}
rules:
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenants], verbs: [get, list, watch]}
  - {apiGroups: [cloudtenant.dev], resources: [cloudtenants/status], verbs: [patch]}
  - {apiGroups: [''], resources: [secrets], verbs: [get]}
  - {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
  - {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [cloudtenant-operator], verbs: [get, update, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: operator}
subjects: [{kind: ServiceAccount, name: operator}]
";

/// The account, and its rights, in this namespace.
pub fn role(namespace: &str) -> String {
    let role = ROLE.replace("{name: operator}", &format!("{{name: operator, namespace: {namespace}}}"));
    role.replace("name: operator}]", &format!("name: operator, namespace: {namespace}}}]"))
}

pub async fn grant(control_plane: &ControlPlane, namespace: &str) {
    control_plane.apply_yaml(Some(namespace), &role(namespace)).await.unwrap();
}

/// The account of `one` gets the same rights in `two`.
pub async fn grant_also(control_plane: &ControlPlane, one: &str, two: &str) {
    let role = ROLE.split("---").nth(1).unwrap().replace("{name: operator}", "{name: other}");
    let binding = format!(
        "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: other}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: other}}
subjects: [{{kind: ServiceAccount, name: operator, namespace: {one}}}]"
    );
    control_plane.apply_yaml(Some(two), &format!("{role}---\n{binding}")).await.unwrap();
}
