-- The roles that may use the schema get what radretrieval/archive/schema/rights.py says of the tables, columns and functions that
-- this session has created. What was there before keeps the rights that the site has granted, and has taken away.
DO $rights$
DECLARE
    before CONSTANT text[] := string_to_array(current_setting('radretrieval.objects_before', true), ' ');
    change text;
BEGIN
    FOR change IN
        SELECT format(s.statement, s.role) FROM (VALUES
{grants}
        ) s (place, role, object, optional, statement)
        JOIN ({there}) o ON o.name = s.object
        WHERE before IS NOT NULL AND o.key <> ALL (before)
          AND EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
                      WHERE n.nspname = 'radretrieval' AND a.grantee = to_regrole(s.role) AND a.privilege_type = 'USAGE')
          AND NOT (s.optional AND NOT has_column_privilege(to_regrole(s.role), 'radretrieval.image', 'patient_key', 'SELECT'))
        ORDER BY s.place
    LOOP
        EXECUTE change;
    END LOOP;
END
$rights$;
