// franz-go (https://github.com/twmb/franz-go).
package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cafelog/compat/agent"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	agent.Run(map[string]agent.Command{"produce": produce, "consume": consume, "join": join, "transact": transact})
}

func settings(given agent.Parameters, more ...kgo.Opt) []kgo.Opt {
	return append([]kgo.Opt{kgo.SeedBrokers(given.Bootstrap), kgo.ClientID("franz-go")}, more...)
}

func produce(given agent.Parameters) error {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[string]kgo.Acks{"all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	options := settings(given,
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[given.Codec]),
		kgo.RequiredAcks(acks[given.Acks]),
		kgo.ProducerLinger(5*time.Millisecond),
	)
	if !given.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	var mutex sync.Mutex
	var failures []error
	for i := given.First; i < given.First+given.Count; i++ {
		client.Produce(context.Background(), toKgo(agent.TestRecord(i, given.Partitions), given.Topic),
			func(_ *kgo.Record, err error) {
				if err == nil {
					return
				}
				mutex.Lock()
				defer mutex.Unlock()
				failures = append(failures, err)
			})
	}
	if err := client.Flush(context.Background()); err != nil {
		return err
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d records were not sent: %w", len(failures), failures[0])
	}
	agent.Say("sent", given.Count)
	return nil
}

func consume(given agent.Parameters) error {
	partitions := map[int32]kgo.Offset{}
	for partition := range given.Partitions {
		partitions[partition] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(settings(given,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{given.Topic: partitions}),
		kgo.FetchIsolationLevel(isolation(given)),
		kgo.FetchMaxWait(200*time.Millisecond),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	for seen := 0; seen < given.Count; {
		waiting, cancel := context.WithTimeout(context.Background(), agent.IdleMax)
		fetches := client.PollFetches(waiting)
		cancel()
		if errors.Is(fetches.Err0(), context.DeadlineExceeded) {
			return agent.ErrIdle
		}
		if errs := fetches.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			agent.Show(fromKgo(record))
			seen++
		})
	}
	return nil
}

func isolation(given agent.Parameters) kgo.IsolationLevel {
	if given.Isolation == "read_committed" {
		return kgo.ReadCommitted()
	}
	return kgo.ReadUncommitted()
}

func groupSettings(given agent.Parameters) ([]kgo.Opt, error) {
	session := time.Duration(given.SessionTimeoutMs) * time.Millisecond
	options := settings(given,
		kgo.ConsumerGroup(given.Group),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.FetchMaxWait(200*time.Millisecond),
	)
	if given.InstanceId != "" {
		options = append(options, kgo.InstanceID(given.InstanceId))
	}
	if given.Protocol == "consumer" {
		// The broker assigns, and says how often it wants to hear from its members. The balancer's name only tells which
		// assignor of the broker is wanted.
		balancers := map[string]kgo.GroupBalancer{"": kgo.StickyBalancer(), "uniform": kgo.StickyBalancer(), "range": kgo.RangeBalancer()}
		balancer, found := balancers[given.Assignor]
		if !found {
			return nil, agent.ErrCannot
		}
		return append(options, kgo.Balancers(balancer), kgo.ServerSideBalancer()), nil
	}
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(),
		"cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	if given.Assignor != "" {
		balancer, found := balancers[given.Assignor]
		if !found {
			return nil, agent.ErrCannot
		}
		options = append(options, kgo.Balancers(balancer))
	}
	if session > 0 {
		options = append(options, kgo.SessionTimeout(session), kgo.HeartbeatInterval(min(500*time.Millisecond, session/3)))
	}
	return options, nil
}

func join(given agent.Parameters) error {
	options, err := groupSettings(given)
	if err != nil {
		return err
	}
	var mutex sync.Mutex
	uncommitted := map[int32]kgo.EpochOffset{}
	commit := func(ctx context.Context, client *kgo.Client) {
		mutex.Lock()
		defer mutex.Unlock()
		agent.Flush()
		if len(uncommitted) == 0 {
			return
		}
		offsets := map[string]map[int32]kgo.EpochOffset{given.Topic: uncommitted}
		client.CommitOffsetsSync(ctx, offsets, nil)
		uncommitted = map[int32]kgo.EpochOffset{}
	}
	client, err := kgo.NewClient(append(options,
		kgo.ConsumeTopics(given.Topic),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			agent.SayPartitions("assigned", sorted(assigned[given.Topic]))
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, revoked map[string][]int32) {
			commit(ctx, client)
			agent.SayPartitions("revoked", sorted(revoked[given.Topic]))
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
			mutex.Lock()
			uncommitted = map[int32]kgo.EpochOffset{}
			mutex.Unlock()
			agent.SayPartitions("revoked", sorted(lost[given.Topic]))
		}),
	)...)
	if err != nil {
		return err
	}
	stopped := agent.Stopped()
	committedAt := time.Now()
	for isRunning := true; isRunning; {
		select {
		case <-stopped:
			isRunning = false
			continue
		default:
		}
		waiting, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		fetches := client.PollRecords(waiting, 200)
		cancel()
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				agent.Complain("fetch", err)
			}
		})
		mutex.Lock()
		fetches.EachRecord(func(record *kgo.Record) {
			agent.ShowNumber(fromKgo(record))
			uncommitted[record.Partition] = kgo.EpochOffset{Epoch: record.LeaderEpoch, Offset: record.Offset + 1}
		})
		mutex.Unlock()
		agent.Flush()
		if time.Since(committedAt) > 300*time.Millisecond {
			commit(context.Background(), client)
			committedAt = time.Now()
		}
		client.AllowRebalance()
	}
	commit(context.Background(), client)
	client.CloseAllowingRebalance()
	agent.Say("left", true)
	return nil
}

func sorted(partitions []int32) []int32 {
	return slices.Sorted(slices.Values(partitions))
}

func transact(given agent.Parameters) error {
	session, err := kgo.NewGroupTransactSession(settings(given,
		kgo.TransactionalID(given.TransactionalId),
		kgo.TransactionTimeout(10*time.Second),
		kgo.ConsumerGroup(given.Group),
		kgo.ConsumeTopics(given.From),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)...)
	if err != nil {
		return err
	}
	defer session.Close()
	stopped := agent.Stopped()
	for transactions := 1; ; {
		select {
		case <-stopped:
			return nil
		default:
		}
		waiting, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		fetches := session.PollRecords(waiting, 50)
		cancel()
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := session.Begin(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			session.Produce(context.Background(), &kgo.Record{
				Topic: given.To, Partition: record.Partition, Key: record.Key, Headers: record.Headers,
				Value: append(slices.Clone(record.Value), '!'),
			}, nil)
		})
		// After an abort the session has its records read again.
		isWanted := kgo.TransactionEndTry(transactions%7 != 0)
		isCommitted, err := session.End(context.Background(), isWanted)
		if err != nil {
			return err
		}
		transactions++
		if isCommitted {
			agent.Say("committed", fetches.NumRecords())
		}
	}
}

func toKgo(record agent.Record, topic string) *kgo.Record {
	headers := make([]kgo.RecordHeader, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = kgo.RecordHeader{Key: header.Name, Value: header.Value}
	}
	return &kgo.Record{
		Topic: topic, Partition: record.Partition, Key: record.Key, Value: record.Value, Headers: headers,
		Timestamp: record.Timestamp,
	}
}

func fromKgo(record *kgo.Record) agent.Record {
	headers := make([]agent.Header, len(record.Headers))
	for i, header := range record.Headers {
		headers[i] = agent.Header{Name: header.Key, Value: header.Value}
	}
	return agent.Record{
		Partition: record.Partition, Offset: record.Offset, Key: record.Key, Value: record.Value, Headers: headers,
		Timestamp: record.Timestamp,
	}
}
