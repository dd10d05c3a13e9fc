CREATE FUNCTION volguard.set_cluster_disabled(cluster text, disabled boolean, reason text DEFAULT NULL)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_cluster_disabled';
COMMENT ON FUNCTION volguard.set_cluster_disabled IS 'Marks a cluster as disabled, or enabled again. The views show the mark and a cleanup can select by it; no call is refused.';
