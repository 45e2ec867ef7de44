COMMENT ON TABLE radretrieval.heartbeat IS
    'Services that run: each writes its row every 15 seconds, and deletes it when it ends in order.';
COMMENT ON COLUMN radretrieval.heartbeat.id IS 'Number.';
COMMENT ON COLUMN radretrieval.heartbeat.program IS 'The command, as work.';
COMMENT ON COLUMN radretrieval.heartbeat.host IS 'Its name of the machine.';
COMMENT ON COLUMN radretrieval.heartbeat.pid IS 'Its process there.';
COMMENT ON COLUMN radretrieval.heartbeat.version IS 'Version of radretrieval.';
COMMENT ON COLUMN radretrieval.heartbeat.started_at IS 'When it started.';
COMMENT ON COLUMN radretrieval.heartbeat.beat_at IS
    'When it was last heard of; one of more than a minute ago is taken for dead.';
