"""Training in several processes: the cluster, and the messages between workers."""
