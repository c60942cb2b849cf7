//! A wrong value is refused, and the message says which one and what is wrong.

mod contradictions;
mod values;

use crate::helm::{chart, helm, render};

/// What is set, and what the message says.
type Refused = (&'static str, &'static [&'static str]);

#[test]
fn wrong_values_are_refused_and_named() {
    for (values, parts) in values::REFUSED.iter().chain(contradictions::REFUSED) {
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
        "networkPolicy: { clouds: { cidrs: [10.0.0.0/8, 10.0.16.0/20, 10.0.0.1/32, 128.0.0.0/1, 192.0.2.254/31] } }",
        "networkPolicy: { clouds: { cidrs: ['2001:db8::1/128', '2001:db8:0:2::/63', 'fe80::/10', '1:2:3:4:5:6:7:8/128', '::8000/113'] } }",
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
    let error = with("1.30.9").unwrap_err();
    assert!(error.contains(">=1.31.0-0"), "{error}");
    // As cloud providers name theirs.
    with("v1.31.0-eks-1234567").unwrap();
}
