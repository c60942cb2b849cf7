# shellcheck shell=bash
# Sourced by up and ctl: writes every configuration file.
database() { echo "connection = mysql+pymysql://lab:lab@127.0.0.1:$2/$1?charset=utf8"; }
authtoken() { # USER SERVICE
  cat <<E
[keystone_authtoken]
www_authenticate_uri = $KEYSTONE_URL
auth_url = $KEYSTONE_URL
auth_type = password
username = $1
password = service-secret
project_name = service
user_domain_name = Default
project_domain_name = Default
service_token_roles_required = true
service_type = $2
E
}
broker="transport_url = rabbit://guest:guest@127.0.0.1:$RABBIT_PORT/"

cat >"$CONF/keystone.conf" <<E
[DEFAULT]
log_file = $LOGS/keystone.log
[database]
$(database keystone "$KEYSTONE_DB_PORT")
[token]
provider = fernet
[fernet_tokens]
key_repository = $DATA/keystone/fernet-keys
[fernet_receipts]
key_repository = $DATA/keystone/fernet-keys
[credential]
key_repository = $DATA/keystone/credential-keys
[identity]
password_hash_rounds = 4
E
cat >"$CONF/heat.conf" <<E
[DEFAULT]
$broker
periodic_interval = $REPORT_INTERVAL
rpc_response_timeout = $RPC_TIMEOUT
auth_encryption_key = 0123456789abcdef0123456789abcdef
deferred_auth_method = password
region_name_for_services = RegionOne
plugin_dirs =
environment_dir = $CONF/none
template_dir = $CONF/none
[heat_api]
bind_host = $HOST
bind_port = $HEAT_PORT
workers = 1
[database]
$(database heat "$HEAT_DB_PORT")
[paste_deploy]
api_paste_config = $HERE/heat-api-paste.ini
[clients_keystone]
auth_uri = $KEYSTONE_URL
$(authtoken heat orchestration)
E
engine_configuration() { # ENGINE WORKERS
  printf '[DEFAULT]\nhost = engine-%d.lab\nlog_file = %s\nnum_engine_workers = %d\n' \
    "${1##*-}" "$LOGS/$1.log" "$2" >"$CONF/$1.conf"
}
for name in heat-engine-1 heat-engine-2; do engine_configuration $name 1; done
policy() { # BOOLEAN: whether heat-api goes by Heat's newer default policy, which shows engines to the system's people
  printf '[oslo_policy]\nenforce_new_defaults = %s\nenforce_scope = %s\n' "$1" "$1" >"$CONF/heat-api.conf"
}
policy false
cat >"$CONF/nova.conf" <<E
[DEFAULT]
$broker
my_ip = 127.0.0.1
host = nova.lab
state_path = $DATA/nova
enabled_apis = osapi_compute
osapi_compute_listen = $HOST
osapi_compute_listen_port = $NOVA_PORT
osapi_compute_workers = 1
log_file = $LOGS/nova-api.log
[api]
auth_strategy = keystone
[wsgi]
api_paste_config = $HERE/nova-api-paste.ini
[api_database]
$(database nova_api "$DB_PORT")
[database]
$(database nova "$DB_PORT")
[oslo_concurrency]
lock_path = $DATA/nova
$(authtoken nova compute)
E
# As people make one: it calls itself an authority, and signs itself.
[ -s "$CONF/tls.crt" ] || openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=keystone.lab \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$CONF/tls.key" -out "$CONF/tls.crt" 2>"$LOGS/openssl.out"
echo "listeners.tcp.1 = 127.0.0.1:$RABBIT_PORT" >"$CONF/rabbitmq.conf"
: >"$CONF/rabbitmq-env.conf"
echo '[].' >"$CONF/enabled_plugins"
