//! A wrong value is refused, and the message says which one and what is wrong.

use crate::helm::{chart, helm, render};

/// What is set, and what the message says.
const REFUSED: &[(&str, &[&str])] = &[
    // Names that do not exist.
    ("replica: 2", &["additional properties 'replica' not allowed"]),
    ("image: { name: x }", &["/image", "additional properties 'name' not allowed"]),
    ("rbac: { scopes: cluster }", &["/rbac", "'scopes' not allowed"]),
    ("monitoring: { serviceMonitor: { enable: true } }", &["/monitoring/serviceMonitor", "'enable' not allowed"]),
    ("networkPolicy: { clouds: { cidr: [] } }", &["/networkPolicy/clouds", "'cidr' not allowed"]),
    ("resources: { limit: {} }", &["/resources", "'limit' not allowed"]),
    ("cloudProxies: [{ host: a, url: 'http://p:1', port: 1 }]", &["/cloudProxies/0", "'port' not allowed"]),
    ("leaderElection: false", &["'leaderElection' not allowed"]),
    // What is of another type, or out of range.
    ("replicas: two", &["/replicas", "want integer"]),
    ("replicas: -1", &["/replicas", "minimum"]),
    ("replicas: 3000000000", &["/replicas", "maximum"]),
    ("image: operator", &["/image", "want object"]),
    ("image: { repository: 'has spaces' }", &["/image/repository", "does not match"]),
    ("image: { repository: 'a//b' }", &["/image/repository", "does not match"]),
    ("image: { repository: 'https://registry.example.com/b' }", &["/image/repository", "does not match"]),
    ("image: { repository: 'foo:1' }", &["image.repository", "\"foo:1\" has a tag", "image.tag"]),
    ("image: { repository: 'registry.example.com:5000/foo:1' }", &["image.repository", "has a tag"]),
    ("image: { repository: 'registry:port/foo' }", &["image.repository", "the registry's port"]),
    ("image: { tag: 'a:b' }", &["/image/tag", "does not match"]),
    ("image: { tag: 1.0 }", &["/image/tag", "want string"]),
    ("image: { digest: abc }", &["/image/digest", "sha256"]),
    ("image: { pullPolicy: Sometimes }", &["/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"]),
    ("imagePullSecrets: [registry]", &["/imagePullSecrets/0", "want object"]),
    ("imagePullSecrets: [{ name: 'A b' }]", &["/imagePullSecrets/0/name", "does not match"]),
    ("log: { format: xml }", &["/log/format", "'text', 'json'"]),
    ("log: { level: '' }", &["/log/level", "minLength"]),
    ("log: { level: verbose }", &["log.level", "\"verbose\" is not understood", "MODULE=LEVEL"]),
    ("log: { level: 'info,cloudtenant_operator' }", &["log.level", "is not understood"]),
    ("log: { level: 'kube=loud' }", &["log.level", "is not understood"]),
    ("log: { level: 'info, kube=warn' }", &["log.level", "is not understood"]),
    ("listen: { address: 999.1.1.1 }", &["listen.address", "\"999.1.1.1\" is no address"]),
    ("listen: { address: '1:2' }", &["listen.address", "is no address"]),
    ("listen: { address: '1::2::3' }", &["listen.address", "is no address"]),
    ("listen: { address: localhost }", &["listen.address", "\"localhost\" is no address"]),
    ("listen: { address: 127.0.0.1 }", &["listen.address", "\"127.0.0.1\"", "0.0.0.0 or ::"]),
    ("listen: { address: 127.1.2.3 }", &["listen.address", "nobody outside of the Pod"]),
    ("listen: { address: '::1' }", &["listen.address", "nobody outside of the Pod"]),
    ("listen: { address: '0:0:0:0:0:0:0:0001' }", &["listen.address", "nobody outside of the Pod"]),
    ("listen: { address: '::0.0.0.1' }", &["listen.address", "nobody outside of the Pod"]),
    ("listen: { address: '::ffff:127.0.0.1' }", &["listen.address", "nobody outside of the Pod"]),
    ("listen: { address: '0:0:0:0:0:FFFF:7f00:1' }", &["listen.address", "nobody outside of the Pod"]),
    ("listen: { port: 80 }", &["/listen/port", "minimum"]),
    ("crds: { keep: 'yes' }", &["/crds/keep", "want boolean"]),
    ("rbac: { scope: namespace }", &["/rbac/scope", "'cluster', 'namespaces'"]),
    ("rbac: { scope: namespaces, namespaces: [Web] }", &["/rbac/namespaces/0", "does not match"]),
    ("rbac: { scope: namespaces, namespaces: [web, web] }", &["/rbac/namespaces", "equal"]),
    ("secrets: { watch: 1 }", &["/secrets/watch", "want boolean"]),
    ("serviceAccount: { name: 'A b' }", &["/serviceAccount/name", "does not match"]),
    ("serviceAccount: { name: 'a..b' }", &["/serviceAccount/name", "does not match"]),
    ("serviceAccount: { annotations: { 'a b': c } }", &["/serviceAccount/annotations", "'a b' not allowed"]),
    ("serviceAccount: { annotations: { a: 1 } }", &["/serviceAccount/annotations/a", "want string"]),
    ("cloudCA: { pem: not a certificate }", &["cloudCA.pem holds no certificate"]),
    ("cloudCA: { pem: '-----BEGIN CERTIFICATE-----' }", &["cloudCA.pem has a certificate that is not whole"]),
    (
        "cloudCA: { pem: \"-----BEGIN CERTIFICATE-----\\nabc\\n-----END CERTIFICATE-----\\nd\\n-----END CERTIFICATE-----\" }",
        &["cloudCA.pem has a certificate that is not whole"],
    ),
    ("cloudCA: { pem: '-----BEGIN PRIVATE KEY----- hidden' }", &["cloudCA.pem holds a private key"]),
    ("networkPolicy: { apiServer: { cidrs: [10.0.0.1] } }", &["networkPolicy.apiServer.cidrs", "is no CIDR"]),
    ("networkPolicy: { apiServer: { cidrs: [10.0.0.256/32] } }", &["networkPolicy.apiServer.cidrs", "is no CIDR"]),
    ("networkPolicy: { clouds: { cidrs: [198.51.100.0/33] } }", &["networkPolicy.clouds.cidrs", "is no CIDR"]),
    ("cloudCA: { secret: { name: x, key: 'a/b' } }", &["/cloudCA/secret/key", "does not match"]),
    ("cloudProxiesSecret: { name: x, key: '..' }", &["/cloudProxiesSecret/key", "does not match"]),
    ("cloudProxies: [{ host: a }]", &["/cloudProxies/0", "missing property 'url'"]),
    ("cloudProxies: [{ host: 'a,b', url: 'http://p:1' }]", &["/cloudProxies/0/host", "does not match"]),
    ("cloudProxies: [{ host: 'a..b', url: 'http://p:1' }]", &["/cloudProxies/0/host", "does not match"]),
    ("cloudProxies: { a: 'http://p:1' }", &["/cloudProxies", "want array"]),
    ("extraEnv: { A: b }", &["/extraEnv", "want array"]),
    ("extraEnv: [{ name: A, value: 1 }]", &["/extraEnv/0/value", "want string"]),
    ("extraEnv: [{ name: 'A=B', value: c }]", &["/extraEnv/0/name", "does not match"]),
    ("extraEnv: [{ name: A, valueFrom: { field: b } }]", &["/extraEnv/0/valueFrom", "'field' not allowed"]),
    ("extraEnv: [{ name: A, value: b }, { name: A, value: c }]", &["extraEnv: A is there twice"]),
    (
        "extraEnv: [{ name: A, value: b, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]",
        &["extraEnv: A has both value and valueFrom"],
    ),
    ("extraVolumes: [{ name: 'A b', emptyDir: {} }]", &["/extraVolumes/0/name", "does not match"]),
    ("extraVolumes: [{ name: a, emptyDir: {} }, { name: a, emptyDir: {} }]", &["extraVolumes: a is there twice"]),
    ("extraVolumeMounts: [{ name: a, mountPath: b }]", &["/extraVolumeMounts/0/mountPath", "does not match"]),
    ("extraVolumeMounts: [{ name: a, mountPath: /b }]", &["extraVolumeMounts", "\"a\" is no volume of extraVolumes"]),
    (
        "{ extraVolumes: [{ name: a }], extraVolumeMounts: [{ name: a, mountPath: /b }, { name: a, mountPath: /b/ }] }",
        &["extraVolumeMounts: there are two at /b/"],
    ),
    (
        "{ extraVolumes: [{ name: a }], extraVolumeMounts: [{ name: a, mountPath: / }] }",
        &["extraVolumeMounts", "hides the operator's program"],
    ),
    ("extraVolumeMounts: [{ name: a }]", &["/extraVolumeMounts/0", "missing property 'mountPath'"]),
    ("commonLabels: { team: 'a b' }", &["/commonLabels/team", "does not match"]),
    ("commonLabels: { a.B/c: d }", &["/commonLabels", "'a.B/c' not allowed"]),
    (
        "commonLabels: { a23456789-123456789-123456789-123456789-123456789-123456789-1234: a }",
        &["/commonLabels", "-1234' not allowed"],
    ),
    ("podLabels: { team: 1 }", &["/podLabels/team", "want string"]),
    ("resources: { limits: { memory: lots } }", &["/resources/limits/memory", "does not match"]),
    ("resources: { limits: { memory: -1 } }", &["/resources/limits/memory", "minimum"]),
    ("resources: { limits: { memry: 1Gi } }", &["/resources/limits", "'memry' not allowed"]),
    ("resources: { claims: [{ name: a }] }", &["/resources", "'claims' not allowed"]),
    ("resources: { limits: { memory: 256 } }", &["resources.limits.memory: 256 is less than a mebibyte", "256Mi"]),
    (
        "resources: { limits: { memory: null }, requests: { memory: 64m } }",
        &["resources.requests.memory: 64m is less than a mebibyte"],
    ),
    ("securityContext: { runAsUser: 0 }", &["/securityContext/runAsUser", "minimum"]),
    ("securityContext: { runAsGroup: 3000000000 }", &["/securityContext/runAsGroup", "maximum"]),
    ("securityContext: { privileged: true }", &["/securityContext", "'privileged' not allowed"]),
    ("livenessProbe: { periodSeconds: 0 }", &["/livenessProbe/periodSeconds", "minimum"]),
    ("readinessProbe: { timeoutSeconds: 3000000000 }", &["/readinessProbe/timeoutSeconds", "maximum"]),
    ("priorityClassName: 'a..b'", &["/priorityClassName", "does not match"]),
    ("updateStrategy: { type: OnDelete }", &["/updateStrategy/type", "'RollingUpdate', 'Recreate'"]),
    ("podDisruptionBudget: { maxUnavailable: 150% }", &["/podDisruptionBudget/maxUnavailable", "does not match"]),
    ("nodeSelector: { a: true }", &["/nodeSelector/a", "want string"]),
    ("tolerations: [{ effect: Never }]", &["/tolerations/0/effect", "'NoSchedule'"]),
    ("tolerations: [{ key: 'a b', operator: Exists }]", &["/tolerations/0/key", "does not match"]),
    ("tolerations: [{}]", &["tolerations[0] is empty"]),
    ("tolerations: [{ operator: Exists }, { value: a }]", &["tolerations[1] has no key"]),
    ("tolerations: [{ key: a, operator: Exists, value: b }]", &["tolerations[0]", "operator Exists", "\"b\""]),
    (
        "tolerations: [{ key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 0 }]",
        &["tolerations[0]: tolerationSeconds is only for effect: NoExecute"],
    ),
    ("affinity: { nodeAffinity: { required: {} } }", &["/affinity/nodeAffinity", "'required' not allowed"]),
    ("affinity: { podAffinities: {} }", &["/affinity", "'podAffinities' not allowed"]),
    ("topologySpreadConstraints: [{ maxSkew: 1 }]", &["/topologySpreadConstraints/0", "missing properties"]),
    (
        "topologySpreadConstraints: [{ maxSkew: 0, topologyKey: '', whenUnsatisfiable: Never, skew: 1 }]",
        &[
            "/topologySpreadConstraints/0/maxSkew",
            "/topologySpreadConstraints/0/topologyKey",
            "'DoNotSchedule', 'ScheduleAnyway'",
            "'skew' not allowed",
        ],
    ),
    (
        "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule },
           { maxSkew: 2, topologyKey: a, whenUnsatisfiable: DoNotSchedule }]",
        &["topologySpreadConstraints[1]: there is one for a and DoNotSchedule already"],
    ),
    ("service: { port: 70000 }", &["/service/port", "maximum"]),
    ("monitoring: { serviceMonitor: { interval: 30 } }", &["/monitoring/serviceMonitor/interval", "want string"]),
    ("monitoring: { podMonitor: { interval: half an hour } }", &["monitoring.podMonitor.interval", "is no duration"]),
    (
        "networkPolicy: { clouds: { cidrs: [cloud.example.com] } }",
        &["networkPolicy.clouds.cidrs", "\"cloud.example.com\" is no CIDR"],
    ),
    (
        "networkPolicy: { dns: { to: [{ podSelector: {} }, { ipBlock: { cidr: 169.254.20.10 } }] } }",
        &["networkPolicy.dns.to[1].ipBlock.cidr", "\"169.254.20.10\" is no CIDR"],
    ),
    (
        "networkPolicy: { scrape: { from: [{ ipBlock: { cidr: 10.0.0.0/99 } }] } }",
        &["networkPolicy.scrape.from[0].ipBlock.cidr", "\"10.0.0.0/99\" is no CIDR"],
    ),
    (
        "networkPolicy: { scrape: { from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16, '10.2'] } }] } }",
        &["networkPolicy.scrape.from[0].ipBlock.except", "\"10.2\" is no CIDR"],
    ),
    (
        "networkPolicy: { scrape: { from: [{ ipBlock: { cidr: 10.0.0.0/8 }, podSelector: {} }] } }",
        &["networkPolicy.scrape.from[0]", "ipBlock and selectors exclude each other"],
    ),
    ("networkPolicy: { apiServer: { ports: [] } }", &["/networkPolicy/apiServer/ports", "minItems"]),
    ("networkPolicy: { dns: { to: [{ labels: {} }] } }", &["/networkPolicy/dns/to/0", "'labels' not allowed"]),
    (
        "networkPolicy: { scrape: { from: [{ podSelector: { matchExpressions: [{ key: a, operator: In }] } }] } }",
        &["/networkPolicy/scrape/from/0/podSelector/matchExpressions/0", "missing property 'values'"],
    ),
    (
        "networkPolicy: { dns: { to: [{ podSelector: { matchExpressions: [{ key: a, operator: Exists, values: [b] }] } }] } }",
        &["/networkPolicy/dns/to/0/podSelector/matchExpressions/0/values", "maxItems"],
    ),
    (
        "networkPolicy: { dns: { to: [{ podSelector: { matchLabels: { 'a b': c } } }] } }",
        &["/networkPolicy/dns/to/0/podSelector/matchLabels", "'a b' not allowed"],
    ),
    ("fullnameOverride: Operator", &["/fullnameOverride", "does not match"]),
    // What is taken away, and needed.
    ("replicas: null", &["missing property 'replicas'"]),
    ("crds: { enabled: null }", &["/crds", "missing property 'enabled'"]),
    ("rbac: null", &["missing property 'rbac'"]),
    // Without a list, all would be let through.
    ("networkPolicy: { dns: { to: null } }", &["/networkPolicy/dns", "missing property 'to'"]),
    ("networkPolicy: { apiServer: { ports: null } }", &["/networkPolicy/apiServer", "missing property 'ports'"]),
    ("networkPolicy: { clouds: { ports: null } }", &["/networkPolicy/clouds", "missing property 'ports'"]),
    // What contradicts something else.
    ("rbac: { scope: namespaces }", &["rbac.scope is namespaces", "rbac.namespaces names none"]),
    ("rbac: { namespaces: [web] }", &["rbac.namespaces is only for rbac.scope: namespaces"]),
    // All Pods of the namespace that name no account would have the operator's rights.
    (
        "serviceAccount: { create: false }",
        &["serviceAccount.name", "\"default\"", "rbac.create", "serviceAccount.create"],
    ),
    ("serviceAccount: { create: false, name: default }", &["serviceAccount.name", "\"default\""]),
    ("serviceAccount: { name: default }", &["serviceAccount.name", "\"default\""]),
    (
        "{ serviceAccount: { create: false }, rbac: { scope: namespaces, namespaces: [web] } }",
        &["serviceAccount.name", "\"default\""],
    ),
    (
        "cloudCA: { configMap: { name: a }, secret: { name: b } }",
        &["cloudCA.configMap.name and cloudCA.secret.name exclude each other"],
    ),
    (
        "cloudCA: { pem: '-----BEGIN CERTIFICATE----- a -----END CERTIFICATE-----', secret: { name: b } }",
        &["cloudCA.pem and cloudCA.secret.name exclude each other"],
    ),
    (
        "{ cloudProxies: [{ host: a, url: 'http://p:1' }], cloudProxiesSecret: { name: b } }",
        &["cloudProxies and cloudProxiesSecret.name exclude each other"],
    ),
    (
        "cloudProxies: [{ host: a, url: 'http://user:hidden@p:1' }]",
        &["the proxy for a has a user or a password", "put it into a Secret"],
    ),
    ("cloudProxies: [{ host: a, url: 'https://p:1' }]", &["the proxy for a must be http://HOST:PORT"]),
    ("cloudProxies: [{ host: a, url: 'http://p' }]", &["the proxy for a must be http://HOST:PORT"]),
    ("cloudProxies: [{ host: a, url: 'http://p:1,b=http://q:1' }]", &["the proxy for a must be http://HOST:PORT"]),
    ("cloudProxies: [{ host: a, url: 'http://p:65536' }]", &["the proxy for a must be http://HOST:PORT"]),
    ("cloudProxies: [{ host: a, url: 'http://p:0' }]", &["the proxy for a must be http://HOST:PORT"]),
    ("cloudProxies: [{ host: a, url: 'http://[::1:1' }]", &["the proxy for a must be http://HOST:PORT"]),
    ("cloudProxies: [{ host: a, url: 'http://[1.2.3.4]:1' }]", &["the proxy for a must be http://HOST:PORT"]),
    (
        "cloudProxies: [{ host: '*', url: 'http://p:1' }, { host: a, url: 'http://q:1' }]",
        &["cloudProxies[1]: the proxy for a is never used, since * stands before it"],
    ),
    (
        "cloudProxies: [{ host: '*.b.c', url: 'http://p:1' }, { host: A.b.C, url: 'http://q:1' }]",
        &["cloudProxies[1]: the proxy for A.b.C is never used, since *.b.c stands before it"],
    ),
    (
        "cloudProxies: [{ host: '*.c', url: 'http://p:1' }, { host: '*.b.c', url: 'http://q:1' }]",
        &["cloudProxies[1]: the proxy for *.b.c is never used"],
    ),
    (
        "cloudProxies: [{ host: a, url: 'http://p:1' }, { host: a, url: 'http://q:1' }]",
        &["cloudProxies[1]: the proxy for a is never used"],
    ),
    ("extraEnv: [{ name: LEADER_ELECTION, value: 'false' }]", &["LEADER_ELECTION is the chart's to set"]),
    (
        "{ cloudCA: { secret: { name: a } }, extraVolumes: [{ name: cloud-ca, emptyDir: {} }] }",
        &["extraVolumes: cloud-ca is the chart's own"],
    ),
    (
        "{ cloudCA: { secret: { name: a } }, extraVolumes: [{ name: b }],
           extraVolumeMounts: [{ name: b, mountPath: /etc/cloudtenant-operator/cloud-ca/more }] }",
        &["extraVolumeMounts: /etc/cloudtenant-operator/cloud-ca/more is where cloudCA is mounted"],
    ),
    (
        "{ cloudCA: { secret: { name: a } }, extraVolumes: [{ name: b }],
           extraVolumeMounts: [{ name: b, mountPath: /etc/cloudtenant-operator }] }",
        &["extraVolumeMounts: /etc/cloudtenant-operator is where cloudCA is mounted"],
    ),
    ("commonLabels: { app.kubernetes.io/name: other }", &["commonLabels", "app.kubernetes.io/name is the chart's own"]),
    ("podLabels: { app.kubernetes.io/instance: other }", &["podLabels", "instance is the chart's own"]),
    (
        "monitoring: { serviceMonitor: { labels: { app.kubernetes.io/name: other } } }",
        &["monitoring.serviceMonitor.labels", "app.kubernetes.io/name is the chart's own"],
    ),
    (
        "monitoring: { podMonitor: { labels: { app.kubernetes.io/version: other } } }",
        &["monitoring.podMonitor.labels", "app.kubernetes.io/version is the chart's own"],
    ),
    (
        "monitoring: { prometheusRule: { labels: { helm.sh/chart: other } } }",
        &["monitoring.prometheusRule.labels", "helm.sh/chart is the chart's own"],
    ),
    (
        "monitoring: { dashboard: { labels: { app.kubernetes.io/part-of: other } } }",
        &["monitoring.dashboard.labels", "app.kubernetes.io/part-of is the chart's own"],
    ),
    (
        "commonLabels: { rbac.authorization.k8s.io/aggregate-to-view: 'true' }",
        &["commonLabels", "aggregate-to-view is the chart's own", "rbac.aggregatedRoles"],
    ),
    ("podAnnotations: { checksum/cloud-ca: mine }", &["podAnnotations", "checksum/cloud-ca is the chart's own"]),
    (
        "updateStrategy: { rollingUpdate: { maxSurge: 0 } }",
        &["updateStrategy.rollingUpdate", "maxSurge and maxUnavailable are both 0"],
    ),
    // The limit is that of values.yaml.
    (
        "resources: { requests: { memory: 512Mi } }",
        &["resources.requests.memory: 512Mi is more than resources.limits.memory, which is 256Mi"],
    ),
    (
        "resources: { requests: { cpu: 1 }, limits: { cpu: 900m } }",
        &["resources.requests.cpu: 1 is more than resources.limits.cpu, which is 900m"],
    ),
    (
        "updateStrategy: { rollingUpdate: { maxSurge: 0%, maxUnavailable: 0% } }",
        &["updateStrategy.rollingUpdate", "maxSurge and maxUnavailable are both 0"],
    ),
    (
        "monitoring: { serviceMonitor: { enabled: true }, podMonitor: { enabled: true } }",
        &["monitoring.serviceMonitor and monitoring.podMonitor exclude each other"],
    ),
    (
        "monitoring: { serviceMonitor: { interval: 30s, scrapeTimeout: 1m } }",
        &[
            "monitoring.serviceMonitor.scrapeTimeout: 1m is longer than monitoring.serviceMonitor.interval, which is 30s",
        ],
    ),
    (
        "monitoring: { podMonitor: { interval: 1m, scrapeTimeout: 1m0s1ms } }",
        &["monitoring.podMonitor.scrapeTimeout: 1m0s1ms is longer"],
    ),
    ("networkPolicy: { enabled: true }", &["networkPolicy.apiServer.cidrs names no address"]),
    (
        "networkPolicy: { enabled: true, apiServer: { cidrs: [10.0.0.1/32] } }",
        &["networkPolicy.clouds.cidrs names no address"],
    ),
];

#[test]
fn wrong_values_are_refused_and_named() {
    for (values, parts) in REFUSED {
        let Err(error) = render(values) else { panic!("{values} is taken") };
        for part in *parts {
            assert!(error.contains(part), "{values}: {part:?} is not in\n{error}");
        }
        // What was meant for a Secret must not get into a log.
        assert!(!error.contains("hidden"), "{error}");
    }
}

/// What a chart gives to one that is part of it, and what lists and maps may be instead of empty.
#[test]
fn what_is_harmless_is_taken() {
    for values in [
        "{ global: { anything: 1 }, enabled: true }",
        "{ tolerations: null, nodeSelector: null, affinity: null, resources: null, cloudProxies: null }",
        "image: { tag: null }",
        "updateStrategy: { type: Recreate }",
        "updateStrategy: { type: Recreate, rollingUpdate: { maxSurge: 0 } }",
        "updateStrategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } }",
        "image: { repository: 'registry.example.com:5000/cloud/operator' }",
        "image: { repository: operator }",
        "image: { repository: 'registry.example.com/a__b/c--d.e' }",
        "commonLabels: { a.b/a23456789-123456789-123456789-123456789-123456789-123456789-123: a }",
        "cloudProxiesSecret: { name: a.b-c, key: .netrc }",
        "log: { level: 'off' }",
        "log: { level: 'warn,kube_client::client=debug,cloudtenant_operator=trace' }",
        "listen: { address: '2001:db8::1' }",
        "listen: { address: '1:2:3:4:5:6:7:8' }",
        "listen: { address: '::ffff:192.0.2.1' }",
        "listen: { address: '2001:db8::1:1' }",
        "listen: { address: '::2:1' }",
        "listen: { address: '::ffff:7e00:1' }",
        "listen: { address: '10.127.0.1' }",
        "networkPolicy: { dns: { to: [{ ipBlock: { cidr: 'fd00::/8', except: ['fd00:1::/32'] } }] } }",
        "networkPolicy: { scrape: { from: null } }",
        "networkPolicy: { clouds: { cidrs: [0.0.0.0/0, '::/0', '2001:db8::/128'] } }",
        "networkPolicy: { scrape: { from: [{ podSelector: { matchExpressions: [{ key: a.b/c, operator: NotIn, values: [d] },
            { key: e, operator: DoesNotExist }] } }] } }",
        "{ extraVolumes: [{ name: a, emptyDir: {} }], extraVolumeMounts: [{ name: a, mountPath: /etc/cloudtenant-operator-more }] }",
        "extraEnv: [{ name: HTTPS_PROXY, value: '' }, { name: A, valueFrom: { secretKeyRef: { name: a, key: b } } }]",
        "resources: { requests: { memory: 0.25Gi, cpu: 1500m }, limits: { memory: 268435456, cpu: 1.5 } }",
        "resources: { requests: { memory: 2Gi, ephemeral-storage: 1M, example.com/a: 1 }, limits: { memory: null } }",
        "resources: { requests: { memory: 0 }, limits: null }",
        "tolerations: [{ operator: Exists }, { key: a, value: b }, { key: c, operator: Exists, effect: NoExecute, tolerationSeconds: 0 }]",
        "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, minDomains: 2 },
           { maxSkew: 2, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, matchLabelKeys: [pod-template-hash] }]",
        "cloudProxies: [{ host: a.b.c, url: 'http://p:65535' }, { host: '*.b.c', url: 'http://[::1]:1' },
           { host: b.c, url: 'http://p_q:1' }, { host: ab.c, url: 'http://p:1' }, { host: '*', url: 'http://p:1/' }]",
        "cloudCA: { pem: \"# One\\n-----BEGIN CERTIFICATE-----\\nab+/\\nc=\\n-----END CERTIFICATE-----\\n# CERTIFICATE\" }",
        "monitoring: { serviceMonitor: { interval: 1h, scrapeTimeout: 59m59s999ms }, podMonitor: { interval: 1m, scrapeTimeout: 60s } }",
        "monitoring: { serviceMonitor: { scrapeTimeout: 1m } }",
        "fullnameOverride: x",
        "serviceAccount: { create: false, name: existing }",
        "{ serviceAccount: { create: false }, rbac: { create: false } }",
    ] {
        render(values).unwrap_or_else(|error| panic!("{values}: {error}"));
    }
}

#[test]
fn an_older_kubernetes_is_refused() {
    let with = |version: &str| helm(&["template", "x", chart().to_str().unwrap(), "--kube-version", version], "");
    let error = with("1.33.9").unwrap_err();
    assert!(error.contains(">=1.34.0-0"), "{error}");
    // As cloud providers name theirs.
    with("v1.34.0-eks-1234567").unwrap();
}
