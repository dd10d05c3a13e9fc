CREATE FUNCTION volguard.set_cluster_disabled(cluster text, disabled boolean, reason text DEFAULT NULL)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_cluster_disabled';
COMMENT ON FUNCTION volguard.set_cluster_disabled IS 'Marks a cluster as disabled, or enabled again. The views show the mark and a cleanup can select by it; its services get no work of next_work.';

CREATE FUNCTION volguard.set_cluster_owner(cluster text, owner name)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_set_cluster_owner';
COMMENT ON FUNCTION volguard.set_cluster_owner IS 'Gives a cluster to a role, whose members alone may register in it; fences the services of the earlier owner. Makes the cluster if there is none.';

CREATE FUNCTION volguard.remove_cluster(cluster text)
RETURNS void VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT LANGUAGE c AS 'MODULE_PATHNAME', 'volguard_remove_cluster';
COMMENT ON FUNCTION volguard.remove_cluster IS 'Removes a cluster, its owner and its fenced services. Refused while a service is not fenced, or has left locks or work.';
