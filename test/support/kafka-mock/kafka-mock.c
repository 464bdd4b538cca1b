/* librdkafka's own test cluster as a process: prints bootstrap.servers, takes commands on stdin, ends with it.
 *   create <topic> <partitions> | down | up | slow <milliseconds>
 * Each command is answered with "ok". */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  char error[256], line[512], topic[256];
  int partitions, milliseconds;
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "log_level", "0", NULL, 0);
  rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
  if (!client) return fprintf(stderr, "%s\n", error), 1;
  rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(client, 1);
  if (!cluster) return fprintf(stderr, "no mock cluster\n"), 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
  while (fgets(line, sizeof(line), stdin)) {
    if (sscanf(line, "create %255s %d", topic, &partitions) == 2)
      rd_kafka_mock_topic_create(cluster, topic, partitions, 1);
    else if (sscanf(line, "slow %d", &milliseconds) == 1)
      rd_kafka_mock_broker_set_rtt(cluster, 1, milliseconds);
    else if (!strncmp(line, "down", 4))
      rd_kafka_mock_broker_set_down(cluster, 1);
    else if (!strncmp(line, "up", 2))
      rd_kafka_mock_broker_set_up(cluster, 1);
    printf("ok\n");
  }
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(client);
  return 0;
}
