#!/bin/sh
# Gives each user of an installation what it needs of Kafka, and nothing else. Again changes nothing.
#
#   KAFKA_ACLS="kafka-acls.sh --bootstrap-server kafka:9093 --command-config admin.properties" ops/kafka-acls.sh brh
#
# The argument is BRH_NAMESPACE; the users are called brh-setup, brh-bridge, brh-tracker, brh-delivery, brh-consumer and
# brh-operator after it. It is for brokers with an authorizer that refuses what nobody allowed, as StandardAuthorizer does.
set -eu
namespace=${1:?the namespace, which is brh by default}

# allow USER OPERATIONS RESOURCES: the operations, separated by commas, on the resources, options of kafka-acls.sh.
allow() {
  principal="User:$namespace-$1" operations=
  for operation in $(echo "$2" | tr , ' '); do operations="$operations --operation $operation"; done
  shift 2
  # Both are lists of words.
  # shellcheck disable=SC2086
  ${KAFKA_ACLS:-kafka-acls.sh} --add --allow-principal "$principal" $operations "$@"
}

events="--topic $namespace.events"
deliveries="--topic $namespace.deliveries"
outcomes="--topic $namespace.outcomes"
parked="--topic $namespace.parked"
receipts="--topic $namespace-tracker-receipts-changelog"
transactions="--topic $namespace-tracker-transactions-changelog"
all="$events $deliveries $outcomes $parked $receipts $transactions"

# Each of these is a list of words as well.
# shellcheck disable=SC2086
{
  allow setup Create,Describe $all

  allow bridge Write $events

  allow tracker Read,Write $events $receipts $transactions
  allow tracker Write $deliveries $parked
  allow tracker DescribeConfigs $events $deliveries $receipts $transactions
  allow tracker Read --group "$namespace-tracker"

  allow delivery Read $deliveries
  allow delivery Write $events $outcomes $parked
  allow delivery DescribeConfigs $events $deliveries $outcomes
  allow delivery Read --group "$namespace-delivery"

  allow consumer Read $outcomes
  allow consumer Read --group "$namespace-consumer" --resource-pattern-type prefixed

  allow operator Read,Write $events
  allow operator Read $parked
  allow operator Describe,DescribeConfigs $all
  allow operator Describe --group "$namespace-tracker"
}
