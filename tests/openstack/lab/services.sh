# shellcheck shell=bash
# Sourced by up and ctl: how each service is run, and when it serves.
SERVICES="mariadb keystone-db heat-db epmd rabbitmq keystone heat-engine-1 heat-engine-2 heat-api nova-api tls"

proxy() { # NAME PORT: the database for one service alone, so that it can be taken from it
  run "$1" socat "TCP-LISTEN:$2,bind=127.0.0.1,fork,reuseaddr" "TCP:127.0.0.1:$DB_PORT"
}
openstack() { # NAME MODULE PROGRAM ARGUMENTS...
  local name=$1
  shift
  run "$name" "$PYTHON" "$HERE/run.py" "$@"
}
start() {
  case $1 in
  mariadb)
    run mariadb mariadbd --no-defaults --user=root --datadir="$DATA/mysql" --socket="$DATA/mysql.sock" \
      --pid-file="$DATA/mysql.pid" --tmpdir="$DATA/tmp" --bind-address=127.0.0.1 --port="$DB_PORT" \
      --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 \
      --performance-schema=OFF --max-connections=300 --character-set-server=utf8mb3
    ;;
  keystone-db) proxy keystone-db "$KEYSTONE_DB_PORT" ;;
  heat-db) proxy heat-db "$HEAT_DB_PORT" ;;
  epmd) run epmd epmd -address 127.0.0.1 -port "$EPMD_PORT" ;;
  rabbitmq)
    run rabbitmq env HOME="$DATA/rabbit" ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 \
      RABBITMQ_NODENAME="lab$BASE@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT="$RABBIT_PORT" \
      RABBITMQ_DIST_PORT="$RABBIT_DIST_PORT" RABBITMQ_MNESIA_BASE="$DATA/rabbit/mnesia" RABBITMQ_LOG_BASE="$LOGS" \
      RABBITMQ_CONFIG_FILE="$CONF/rabbitmq.conf" RABBITMQ_CONF_ENV_FILE="$CONF/rabbitmq-env.conf" \
      RABBITMQ_ENABLED_PLUGINS_FILE="$CONF/enabled_plugins" RABBITMQ_GENERATED_CONFIG_DIR="$DATA/rabbit/gen" \
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none" \
      /usr/lib/rabbitmq/bin/rabbitmq-server
    ;;
  keystone)
    run keystone env OS_KEYSTONE_CONFIG_FILES="$CONF/keystone.conf" uwsgi_python3 \
      --http-socket "$HOST:$KEYSTONE_PORT" --wsgi-file /usr/bin/keystone-wsgi-public --need-app --master \
      --processes 1 --threads 4 --enable-threads --lazy-apps --die-on-term --buffer-size 65535 \
      --post-buffering 65536 --disable-logging --add-header 'Connection: close' \
      --pyargv "--config-file $CONF/keystone.conf"
    ;;
  heat-engine-*)
    openstack "$1" heat.cmd.engine heat-engine --config-file "$CONF/heat.conf" --config-file "$CONF/$1.conf"
    ;;
  heat-api)
    openstack heat-api heat.cmd.api heat-api --config-file "$CONF/heat.conf" --config-file "$CONF/heat-api.conf" \
      --log-file "$LOGS/heat-api.log"
    ;;
  tls)
    run tls socat "OPENSSL-LISTEN:$TLS_PORT,bind=127.0.0.1,fork,reuseaddr,verify=0,cert=$CONF/tls.crt,key=$CONF/tls.key" \
      "TCP:$HOST:$KEYSTONE_PORT"
    ;;
  nova-api) openstack nova-api nova.cmd.api nova-api --config-file "$CONF/nova.conf" ;;
  *) say "no service $1" && return 1 ;;
  esac
}
# An engine serves once Heat's database has a row of it that is as young as its process, and a report in it.
engine_reports() {
  local age
  age=$(ps -o etimes= -p "$(pid_of "heat-engine-$1")") || return 1
  [ "$(sql heat -e "select count(*) from service where host = 'engine-$1.lab' and deleted_at is null and
    created_at >= utc_timestamp() - interval $((age + 1)) second and coalesce(updated_at, created_at) > utc_timestamp() - interval 15 second")" -gt 0 ]
}
serves() {
  case $1 in
  mariadb) until_true 60 MariaDB sql -e 'select 1' ;;
  rabbitmq) until_true 60 RabbitMQ bash -c \
    "exec 3<>/dev/tcp/127.0.0.1/$RABBIT_PORT && printf 'AMQP\0\0\11\1' >&3 && timeout 2 head -c 1 <&3 | grep -q ." ;;
  keystone) until_true 90 Keystone answers "$KEYSTONE_PORT" /v3 ;;
  heat-engine-*) until_true 90 "$1" engine_reports "${1##*-}" ;;
  heat-api) until_true 90 heat-api answers "$HEAT_PORT" ;;
  nova-api) until_true 90 nova-api answers "$NOVA_PORT" ;;
  esac
}
