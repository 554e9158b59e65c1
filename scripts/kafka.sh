#!/usr/bin/env bash
# A private broker of Apache Kafka (KRaft, one node, loopback) that tests read topics of: kafka.sh install | start DIR | stop DIR [KILL]
#
# `install` fetches what tests/kafka/pom.xml pins from Maven, once, into ${TAGHOUSE_TOOLS:-~/.cache/taghouse-tools}, and prints the folder.
# `start` listens on 127.0.0.1:$KAFKA_PORT (19092) and on the port after it, keeps its data in DIR and returns once it serves; started
# again after `stop`, it goes on with them. With KAFKA_USER and KAFKA_PASSWORD set, clients must log in (SASL/PLAIN). With KAFKA_TLS, a folder with
# broker.pem (key and certificate) and ca.pem, they must use TLS.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pins=$root/tests/kafka/pom.xml
tools=${TAGHOUSE_TOOLS:-$HOME/.cache/taghouse-tools}
jars=$tools/taghouse-kafka-broker-$(sha256sum "$pins" | head -c 12)
port=${KAFKA_PORT:-19092}
# Quick to start, and small.
java=(java -Xmx384m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$jars/*")

fail() {
  echo "kafka.sh: $*. Where it cannot be had, TAGHOUSE_SKIP=kafka passes over its tests" >&2
  exit 1
}

tools_there() {
  java -version >/dev/null 2>&1 || fail "Java 17 or later is missing: apt-get install default-jre-headless"
  local version
  version=$(java -version 2>&1 | sed -n '1s/^[^"]*"\([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 17 ] || fail "Java 17 or later is needed, ${version:-an unknown version} is here"
}

install() {
  tools_there
  mkdir -p "$tools"
  (
    # Two at once take turns; what was left half done is begun again.
    flock 9
    [ ! -e "$jars/.installed" ] || exit 0
    command -v mvn >/dev/null || fail "Maven is missing: apt-get install maven"
    echo "fetching Apache Kafka into $jars (once, about a minute)" >&2
    rm -rf "$jars"
    mkdir "$jars"
    mvn -q -B -f "$pins" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >&2
    touch "$jars/.installed"
  ) 9>"$jars.lock" || fail "Apache Kafka could not be fetched: see above"
}

properties() {
  local protocol=PLAINTEXT
  [ -z "${KAFKA_TLS:-}" ] || protocol=SSL
  [ -z "${KAFKA_USER:-}" ] || protocol=SASL_$protocol
  cat <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=CLIENTS://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
listener.security.protocol.map=CLIENTS:$protocol,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENTS
log.dirs=$dir/data
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
EOF
  if [ -n "${KAFKA_TLS:-}" ]; then
    cat <<EOF
ssl.keystore.type=PEM
ssl.keystore.location=$KAFKA_TLS/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location=$KAFKA_TLS/ca.pem
EOF
  fi
  if [ -n "${KAFKA_USER:-}" ]; then
    cat <<EOF
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.clients.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="$KAFKA_USER" password="$KAFKA_PASSWORD" user_$KAFKA_USER="$KAFKA_PASSWORD";
EOF
  fi
}

port_open() { (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

# It holds a lock on the file as long as it lives, so a pid that the system gave to another is never taken for it.
running() { [ -s "$dir/pid" ] && ! flock --shared --nonblock "$dir/pid" true; }

start() {
  install
  ! running || fail "it runs already in $dir"
  properties >"$dir/properties"
  [ -e "$dir/data/meta.properties" ] ||
    "${java[@]}" kafka.tools.StorageTool format --cluster-id dGFnaG91c2UtdGVzdHMtMQ --config "$dir/properties" >"$dir/log" 2>&1 ||
    fail "it could not be made: $(tail -n 3 "$dir/log")"
  (
    cd "$dir"
    exec 9>>pid
    flock --timeout 5 9 || fail "it is being started by another"
    setsid "${java[@]}" kafka.Kafka properties </dev/null >>log 2>&1 &
    echo $! >pid
  )
  # It opens its port only once it serves.
  for _ in {1..600}; do
    ! port_open || return 0
    running || break
    sleep 0.1
  done
  tail -n 20 "$dir/log" >&2
  stop KILL
  fail "it did not start in $dir"
}

stop() { # [SIGNAL]
  running || return 0
  kill -s "${1:-TERM}" "$(<"$dir/pid")" || true
  for _ in {1..200}; do
    running || return 0
    sleep 0.1
  done
  kill -KILL "$(<"$dir/pid")" || true
}

case ${1:-} in
install) install && echo "$jars" ;;
start | stop)
  dir=$(realpath -m "${2:?the folder of its data}")
  mkdir -p "$dir"
  "$1" "${3:-}"
  ;;
*) fail "use: kafka.sh install | start DIR | stop DIR [KILL]" ;;
esac
