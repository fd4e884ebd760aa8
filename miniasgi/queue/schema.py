"""The schema of the queue's file, as scripts: one for each version, run once, in order.

A file says in ``miniasgi_schema`` which of them it has had. Rule of this file: append, and never
edit what was released; an older file is brought up to date by whoever opens it first.
"""

#: One script for each version of the schema. Append; never edit what was released.
MIGRATIONS = [
    """
    create table miniasgi_job (
        seq        integer primary key,         -- order of commit: first in, first out
        id         text    not null unique,     -- made by the process before the row exists
        queue      text    not null,
        task       text    not null,
        arguments  text    not null,            -- JSON: [args, kwargs]
        state      text    not null,
        priority   integer not null,            -- higher first
        created_at real    not null,            -- moments are Unix seconds
        due_at     real,                        -- scheduled: ready from then on
        expires_at real,                        -- not to be started after
        owner      text,                        -- whose it is now; null: nobody's
        attempt    integer not null default 0,  -- starts so far; with owner: the fence
        retries    integer not null default 0,  -- failures that were followed by another attempt
        crashes    integer not null default 0,  -- owners that died with it
        revoking   integer not null default 0,  -- revoked while it was owned
        unknown_at real,                        -- since when workers do not know its task
        started_at real,
        settled_at real,
        result     text,                        -- JSON
        error      text,
        traceback  text
    ) strict;
    create index miniasgi_ready on miniasgi_job (queue, priority desc, seq) where state = 'ready';
    create index miniasgi_scheduled on miniasgi_job (queue, due_at) where state = 'scheduled';
    create index miniasgi_owned on miniasgi_job (owner) where owner is not null;
    create index miniasgi_settled on miniasgi_job (state, settled_at) where settled_at is not null;
    create table miniasgi_paused (queue text primary key) strict, without rowid;
    """,
    """
    alter table miniasgi_job add column trace text;  -- W3C traceparent of who promised it
    alter table miniasgi_job add column past text;   -- JSON lines: attempts that others followed
    drop index miniasgi_settled;                     -- counted and measured without the rows
    create index miniasgi_settled on miniasgi_job (state, queue, settled_at, started_at)
        where settled_at is not null;
    """,
]
