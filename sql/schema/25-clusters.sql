CREATE FUNCTION volguard.set_cluster_disabled(cluster text, disabled boolean, reason text DEFAULT NULL)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_cluster_disabled';
COMMENT ON FUNCTION volguard.set_cluster_disabled IS 'Marks a cluster as out of use, or in use again: for people to see and cleanup to select by. Nothing is refused.';
