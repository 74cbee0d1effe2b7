// kafka-go (https://github.com/segmentio/kafka-go). It has neither idempotent producers nor transactions that carry records.
package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cafelog/compat/agent"

	"github.com/segmentio/kafka-go"
)

func main() {
	agent.Run(map[string]agent.Command{"produce": produce, "consume": consume, "join": join})
}

const (
	chunkRecords  = 1000
	commitEvery   = 300 * time.Millisecond
	fetchBytesMax = 1 << 20
)

func produce(given agent.Parameters) error {
	if given.Idempotent {
		return agent.ErrCannot
	}
	codecs := map[string]kafka.Compression{
		"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
	}
	acks := map[string]kafka.RequiredAcks{"all": kafka.RequireAll, "1": kafka.RequireOne, "0": kafka.RequireNone}
	writer := &kafka.Writer{
		Addr:         kafka.TCP(given.Bootstrap),
		Topic:        given.Topic,
		Compression:  codecs[given.Codec],
		RequiredAcks: acks[given.Acks],
		BatchSize:    chunkRecords,
		BatchTimeout: 5 * time.Millisecond,
		MaxAttempts:  50,
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return message.WriterData.(int)
		}),
	}
	defer writer.Close()
	messages := make([]kafka.Message, 0, chunkRecords)
	for i := given.First; i < given.First+given.Count; i++ {
		messages = append(messages, toKafka(agent.TestRecord(i, given.Partitions)))
		if len(messages) == chunkRecords || i == given.First+given.Count-1 {
			if err := writer.WriteMessages(context.Background(), messages...); err != nil {
				return err
			}
			messages = messages[:0]
		}
	}
	agent.Say("sent", given.Count)
	return nil
}

func consume(given agent.Parameters) error {
	isolation := kafka.ReadUncommitted
	if given.Isolation == "read_committed" {
		isolation = kafka.ReadCommitted
	}
	messages := make(chan kafka.Message, chunkRecords)
	failures := make(chan error, given.Partitions)
	for partition := range given.Partitions {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{given.Bootstrap}, Topic: given.Topic, Partition: int(partition),
			MinBytes: 1, MaxBytes: fetchBytesMax, MaxWait: 200 * time.Millisecond, IsolationLevel: isolation,
		})
		if err := reader.SetOffset(kafka.FirstOffset); err != nil {
			return err
		}
		go func() {
			for {
				message, err := reader.FetchMessage(context.Background())
				if err != nil {
					failures <- err
					return
				}
				messages <- message
			}
		}()
	}
	for seen := 0; seen < given.Count; seen++ {
		select {
		case message := <-messages:
			agent.Show(fromKafka(message))
		case err := <-failures:
			return err
		case <-time.After(agent.IdleMax):
			return agent.ErrIdle
		}
	}
	return nil
}

func join(given agent.Parameters) error {
	balancers := map[string]kafka.GroupBalancer{
		"": kafka.RangeGroupBalancer{}, "range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{},
	}
	balancer, found := balancers[given.Assignor]
	if !found || given.Protocol == "consumer" || given.InstanceId != "" {
		return agent.ErrCannot
	}
	session := time.Duration(given.SessionTimeoutMs) * time.Millisecond
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: given.Group, Brokers: []string{given.Bootstrap}, Topics: []string{given.Topic},
		GroupBalancers: []kafka.GroupBalancer{balancer}, StartOffset: kafka.FirstOffset,
		SessionTimeout: session, HeartbeatInterval: min(500*time.Millisecond, session/3),
		RebalanceTimeout: 2 * session, JoinGroupBackoff: 500 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.Background())
	stopped := agent.Stopped()
	go func() {
		<-stopped
		stop()
	}()
	for running.Err() == nil {
		generation, err := group.Next(running)
		if err != nil {
			if running.Err() == nil && !errors.Is(err, kafka.ErrGroupClosed) {
				agent.Complain("next", err)
			}
			continue
		}
		read(given, generation, running)
	}
	if err := group.Close(); err != nil {
		return err
	}
	agent.Say("left", true)
	return nil
}

// read has all partitions of a generation read, until it is over.
func read(given agent.Parameters, generation *kafka.Generation, running context.Context) {
	var partitions []int32
	for _, assignment := range generation.Assignments[given.Topic] {
		partitions = append(partitions, int32(assignment.ID))
	}
	slices.Sort(partitions)
	agent.SayPartitions("assigned", partitions)
	var left sync.WaitGroup
	for _, assignment := range generation.Assignments[given.Topic] {
		left.Add(1)
		generation.Start(func(ctx context.Context) {
			defer left.Done()
			readPartition(ctx, running, given, generation, assignment)
		})
	}
	// The group does not go on before what was started has ended, and it ends when the generation does.
	generation.Start(func(ctx context.Context) {
		<-ctx.Done()
		left.Wait()
		agent.SayPartitions("revoked", partitions)
	})
}

func readPartition(
	generationOver, running context.Context,
	given agent.Parameters,
	generation *kafka.Generation,
	assignment kafka.PartitionAssignment,
) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{given.Bootstrap}, Topic: given.Topic, Partition: assignment.ID,
		MinBytes: 1, MaxBytes: fetchBytesMax, MaxWait: 200 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(assignment.Offset); err != nil {
		agent.Complain("set offset", err)
		return
	}
	next := int64(-1)
	commit := func() {
		agent.Flush()
		if next < 0 {
			return
		}
		err := generation.CommitOffsets(map[string]map[int]int64{given.Topic: {assignment.ID: next}})
		if err != nil {
			agent.Complain("commit", err)
		}
		next = -1
	}
	defer commit()
	committedAt := time.Now()
	for generationOver.Err() == nil && running.Err() == nil {
		waiting, cancel := context.WithTimeout(generationOver, commitEvery/3)
		message, err := reader.FetchMessage(waiting)
		cancel()
		if err == nil {
			agent.ShowNumber(fromKafka(message))
			next = message.Offset + 1
		} else if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			agent.Complain("fetch", err)
		}
		if time.Since(committedAt) > commitEvery {
			commit()
			committedAt = time.Now()
		}
	}
}

func toKafka(record agent.Record) kafka.Message {
	message := kafka.Message{
		Key: record.Key, Value: record.Value, Time: record.Timestamp, WriterData: int(record.Partition),
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, kafka.Header{Key: header.Name, Value: header.Value})
	}
	return message
}

func fromKafka(message kafka.Message) agent.Record {
	record := agent.Record{
		Partition: int32(message.Partition), Offset: message.Offset, Key: message.Key, Value: message.Value,
		Timestamp: message.Time,
	}
	for _, header := range message.Headers {
		// The library does not tell a value without bytes from none.
		record.Headers = append(record.Headers, agent.Header{Name: header.Key, Value: append([]byte{}, header.Value...)})
	}
	return record
}
