# shellcheck shell=bash
# Run by up: certificates, keys and kubeconfigs, for one run of the node.
. "$(dirname "$(readlink -f "$0")")/lib.sh"
cd "$PKI"
umask 077
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
key ca
openssl req -x509 -new -key ca.key -subj /CN=node-ca -days 2 -out ca.crt \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,digitalSignature
certificate() { # NAME SUBJECT [NAMES]
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  printf 'extendedKeyUsage = clientAuth, serverAuth\n%s\n' "${3:+subjectAltName = $3}" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out "$1.crt" -extfile "$1.ext"
}
kubeconfig() { # FILE CERTIFICATE
  cat >"$1" <<Y
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $PKI/ca.crt}}]
users: [{name: me, user: {client-certificate: $PKI/$2.crt, client-key: $PKI/$2.key}}]
contexts: [{name: node, context: {cluster: node, user: me}}]
current-context: node
Y
}
openssl genrsa -out sa.key 2048
openssl rsa -in sa.key -pubout -out sa.pub
service=kubernetes.default.svc
certificate apiserver /CN=kube-apiserver \
  "DNS:kubernetes,DNS:kubernetes.default,DNS:$service,DNS:$service.cluster.local,DNS:localhost,IP:10.96.0.1,IP:$NODE_IP,IP:127.0.0.1"
certificate kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
certificate kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" "DNS:$NODE_NAME,IP:$NODE_IP"
certificate admin /O=system:masters/CN=admin
kubeconfig "$DATA/kubeconfig" admin
for part in kube-controller-manager kube-scheduler kube-proxy; do certificate $part "/CN=system:$part"; done
for part in kubelet kube-controller-manager kube-scheduler kube-proxy; do kubeconfig "$part.conf" $part; done
