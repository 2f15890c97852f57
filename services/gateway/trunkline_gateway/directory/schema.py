"""The directory's tables.

A change locks the one row of `directory_state` first, so changes follow one another, and their revisions are in the
order in which readers see them: none with a lower revision can appear later, as it could with a sequence.

The audit log refuses UPDATE, DELETE and TRUNCATE. Old entries go by month: `directory_audit_drop_before` drops whole
partitions, and so can whoever owns the table. Nothing else is taken out of it.
"""

from trunkline_kit.migrations import Migration

COMPONENT = "directory"
CHANNEL = "trunkline_directory"
"""Where each change is announced, with its revision."""

_TABLES = """
CREATE TABLE directory_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL,
    mark uuid NOT NULL,
    changed_at timestamptz NOT NULL
);
COMMENT ON COLUMN directory_state.mark IS 'New at every revision: a database restored from a copy is found out by it.';
INSERT INTO directory_state (revision, mark, changed_at) VALUES (0, gen_random_uuid(), now());

CREATE TABLE directory_objects (
    kind text NOT NULL,
    id text COLLATE "C" NOT NULL,
    spec jsonb NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX directory_objects_org ON directory_objects ((spec ->> 'org')) WHERE spec ? 'org';
CREATE INDEX directory_objects_team ON directory_objects ((spec ->> 'team')) WHERE spec ? 'team';
CREATE INDEX directory_objects_project ON directory_objects ((spec ->> 'project')) WHERE spec ? 'project';
COMMENT ON COLUMN directory_objects.spec IS 'Without what is as by default.';

CREATE TABLE directory_secrets (
    digest bytea PRIMARY KEY,
    key_id text COLLATE "C" NOT NULL,
    pepper_id text NOT NULL,
    last_four text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz
);
CREATE INDEX directory_secrets_key ON directory_secrets (key_id);

CREATE TABLE directory_audit (
    id bigint NOT NULL,
    at timestamptz NOT NULL,
    mark uuid NOT NULL,
    actor text NOT NULL,
    source text NOT NULL,
    request_id text NOT NULL,
    action text NOT NULL,
    kind text NOT NULL,
    object_id text COLLATE "C" NOT NULL,
    before jsonb,
    after jsonb,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE INDEX directory_audit_id ON directory_audit (id);
CREATE INDEX directory_audit_object ON directory_audit (kind, object_id, id);
COMMENT ON TABLE directory_audit IS 'One row for each change, its id is the revision it made. Append only.';
"""

_APPEND_ONLY = """
CREATE FUNCTION directory_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused; old months go with directory_audit_drop_before', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$body$;
CREATE TRIGGER directory_audit_rows BEFORE UPDATE OR DELETE ON directory_audit
    FOR EACH ROW EXECUTE FUNCTION directory_audit_refuse();
CREATE TRIGGER directory_audit_truncate BEFORE TRUNCATE ON directory_audit
    FOR EACH STATEMENT EXECUTE FUNCTION directory_audit_refuse();
"""

_MONTHS = """
CREATE FUNCTION directory_audit_month(moment timestamptz) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    begins timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    part text := 'directory_audit_' || to_char(begins, 'YYYY_MM');
BEGIN
    IF to_regclass(part) IS NULL THEN
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF directory_audit FOR VALUES FROM (%L) TO (%L)',
            part, begins AT TIME ZONE 'UTC', (begins + interval '1 month') AT TIME ZONE 'UTC'
        );
        -- Partitions take over triggers for rows by themselves, those for statements not.
        EXECUTE format(
            'CREATE TRIGGER directory_audit_truncate BEFORE TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION directory_audit_refuse()', part
        );
    END IF;
END
$body$;

CREATE FUNCTION directory_audit_drop_before(moment timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $body$
DECLARE
    part regclass;
    ends timestamp;
    -- The month of the last change stays: by that entry a mirror knows where it stands.
    kept timestamptz := least(moment, (SELECT changed_at FROM directory_state));
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'directory_audit'::regclass ORDER BY inhrelid LOOP
        ends := to_date(right(part::text, 7), 'YYYY_MM') + interval '1 month';
        IF ends AT TIME ZONE 'UTC' <= kept THEN
            RETURN NEXT part::text;
            EXECUTE format('DROP TABLE %s', part);
        END IF;
    END LOOP;
END
$body$;
"""

MIGRATIONS = (Migration(number=1, name="directory", sql=_TABLES + _APPEND_ONLY + _MONTHS),)
