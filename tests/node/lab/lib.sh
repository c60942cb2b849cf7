# shellcheck shell=bash
# Sourced by all: where things are. The programs of Kubernetes are looked for on the PATH.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA=${LAB_DIR:-$HERE/../../../target/node}
mkdir -p "$DATA"
DATA=$(cd "$DATA" && pwd)
PKI=$DATA/pki LOGS=$DATA/logs
# Pods reach what listens here.
NODE_IP=10.244.255.1 NODE_NAME=node
# A slice of the machine's control groups, of this directory alone.
CGROUP=cloudtenant-node-$(echo "$DATA" | cksum | cut -d' ' -f1)
export LC_ALL=C.UTF-8
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

say() { echo "node: $*" >&2; }
# The process that holds the namespaces.
alive() {
  [ -s "$DATA/pid" ] && tr '\0' ' ' <"/proc/$(cat "$DATA/pid")/cmdline" 2>/dev/null | grep -qF "$HERE/node $DATA "
}
