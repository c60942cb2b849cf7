//! Values that contradict each other, or what the chart sets itself.

use super::Refused;

pub const REFUSED: &[Refused] = &[
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
    ("extraEnv: [{ name: SHARD, value: 1/2 }]", &["SHARD is the chart's to set"]),
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
    ("podLabels: { cloudtenant.dev/shard: '1' }", &["podLabels", "cloudtenant.dev/shard is the chart's own"]),
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
        "serviceAccount: { create: false, name: a, annotations: { b: c } }",
        &["serviceAccount.annotations is only for an account that the chart makes"],
    ),
    (
        "topologySpreadConstraints: [{ maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, minDomains: 2 }]",
        &["topologySpreadConstraints[0]: minDomains is only for whenUnsatisfiable: DoNotSchedule"],
    ),
    (
        "{ networkPolicy: { enabled: true, apiServer: { cidrs: [10.0.0.1/32] }, clouds: { cidrs: [0.0.0.0/0] } },
           cloudProxies: [{ host: a, url: 'http://p:443' }, { host: b, url: 'http://[::1]:3128/' }] }",
        &["networkPolicy.clouds.ports lacks 3128, the port of the proxy for b"],
    ),
    (
        "networkPolicy: { enabled: true, apiServer: { cidrs: [10.0.0.1/32] } }",
        &["networkPolicy.clouds.cidrs names no address"],
    ),
];
