#!/bin/sh
# Makes and updates the two databases of a durable Temporal server. May be repeated.
set -eu
SQL_PASSWORD="$(cat /run/secrets/temporal-postgres-password)"
export SQL_PASSWORD

tool() {
    temporal-sql-tool --plugin postgres12 --ep temporal-postgres -p 5432 -u temporal --db "$@"
}

for store in temporal visibility; do
    database=temporal
    [ "$store" = temporal ] || database=temporal_visibility
    tool "$database" create
    # Fails when the version table is there: then only the update is due.
    tool "$database" setup-schema -v 0.0 || true
    tool "$database" update-schema -d "/etc/temporal/schema/postgresql/v12/$store/versioned"
done
