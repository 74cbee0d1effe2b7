// sarama (https://github.com/IBM/sarama).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"cafelog/compat/agent"

	"github.com/IBM/sarama"
)

func main() {
	agent.Run(map[string]agent.Command{"produce": produce, "consume": consume, "join": join, "transact": transact})
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	config.ClientID = "sarama"
	config.Version = sarama.MaxVersion
	config.Metadata.AllowAutoTopicCreation = false
	// A broker that starts again is away for a while.
	config.Metadata.Retry.Max = 100
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	return config
}

func produce(given agent.Parameters) error {
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	acks := map[string]sarama.RequiredAcks{"all": sarama.WaitForAll, "1": sarama.WaitForLocal, "0": sarama.NoResponse}
	config := settings()
	config.Producer.Compression = codecs[given.Codec]
	config.Producer.RequiredAcks = acks[given.Acks]
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Producer.Retry.Max = 100
	config.Producer.Idempotent = given.Idempotent
	// With more it may change the order when it sends again.
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewAsyncProducer([]string{given.Bootstrap}, config)
	if err != nil {
		return err
	}
	// Told to close, it gives up what it would send again.
	var pending, results sync.WaitGroup
	pending.Add(given.Count)
	sent := 0
	var failures []error
	results.Go(func() {
		for range producer.Successes() {
			sent++
			pending.Done()
		}
	})
	results.Go(func() {
		for failure := range producer.Errors() {
			failures = append(failures, failure.Err)
			pending.Done()
		}
	})
	for i := given.First; i < given.First+given.Count; i++ {
		producer.Input() <- toSarama(agent.TestRecord(i, given.Partitions), given.Topic)
	}
	pending.Wait()
	producer.AsyncClose()
	results.Wait()
	if len(failures) > 0 {
		return fmt.Errorf("%d records were not sent: %w", len(failures), failures[0])
	}
	agent.Say("sent", sent)
	return nil
}

func consume(given agent.Parameters) error {
	config := settings()
	if given.Isolation == "read_committed" {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	consumer, err := sarama.NewConsumer([]string{given.Bootstrap}, config)
	if err != nil {
		return err
	}
	messages := make(chan *sarama.ConsumerMessage, 1000)
	for partition := range given.Partitions {
		claim, err := consumer.ConsumePartition(given.Topic, partition, sarama.OffsetOldest)
		if err != nil {
			return err
		}
		go func() {
			for message := range claim.Messages() {
				messages <- message
			}
		}()
	}
	for seen := 0; seen < given.Count; seen++ {
		select {
		case message := <-messages:
			agent.Show(fromSarama(message))
		case <-time.After(agent.IdleMax):
			return agent.ErrIdle
		}
	}
	// Closing takes as long as the fetches that wait; the program ends with them.
	return nil
}

// member is what a group calls when partitions come and go.
type member struct {
	handle  func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error
	cleanup func(sarama.ConsumerGroupSession)
}

func (member) Setup(sarama.ConsumerGroupSession) error { return nil }

func (one member) Cleanup(session sarama.ConsumerGroupSession) error {
	one.cleanup(session)
	return nil
}

func (one member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	return one.handle(session, claim)
}

// consumeGroup is a member until `stop` is said.
func consumeGroup(given agent.Parameters, config *sarama.Config, topic string, one member) error {
	group, err := sarama.NewConsumerGroup([]string{given.Bootstrap}, given.Group, config)
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
		if err := group.Consume(running, []string{topic}, one); err != nil {
			if errors.Is(err, sarama.ErrClosedConsumerGroup) {
				break
			}
			agent.Complain("consume", err)
			time.Sleep(100 * time.Millisecond)
		}
	}
	return group.Close()
}

func join(given agent.Parameters) error {
	strategies := map[string]sarama.BalanceStrategy{
		"": sarama.NewBalanceStrategyRange(), "range": sarama.NewBalanceStrategyRange(),
		"roundrobin": sarama.NewBalanceStrategyRoundRobin(), "sticky": sarama.NewBalanceStrategySticky(),
		"cooperative-sticky": sarama.NewBalanceStrategyCooperativeSticky(),
	}
	strategy, found := strategies[given.Assignor]
	if !found || given.Protocol == "consumer" {
		return agent.ErrCannot
	}
	session := time.Duration(given.SessionTimeoutMs) * time.Millisecond
	config := settings()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	config.Consumer.Group.Session.Timeout = session
	config.Consumer.Group.Heartbeat.Interval = min(500*time.Millisecond, session/3)
	config.Consumer.Group.InstanceId = given.InstanceId
	// A commit is one of all claims: what is marked must have been handed out by then.
	var mutex sync.Mutex
	commit := func(session sarama.ConsumerGroupSession) {
		mutex.Lock()
		defer mutex.Unlock()
		agent.Flush()
		session.Commit()
	}
	handle := func(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
		agent.SayPartitions("assigned", []int32{claim.Partition()})
		committing := time.NewTicker(300 * time.Millisecond)
		defer committing.Stop()
		defer func() {
			commit(session)
			agent.SayPartitions("revoked", []int32{claim.Partition()})
		}()
		for {
			select {
			case message, isOpen := <-claim.Messages():
				if !isOpen {
					return nil
				}
				mutex.Lock()
				agent.ShowNumber(fromSarama(message))
				session.MarkMessage(message, "")
				mutex.Unlock()
			case <-committing.C:
				commit(session)
			case <-session.Context().Done():
				return nil
			}
		}
	}
	err := consumeGroup(given, config, given.Topic, member{handle, func(sarama.ConsumerGroupSession) {}})
	if err != nil {
		return err
	}
	agent.Say("left", true)
	return nil
}

const (
	transactionRecords = 50
	transactionTries   = 50
)

func transact(given agent.Parameters) error {
	config := settings()
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Producer.Transaction.ID = given.TransactionalId
	config.Producer.Transaction.Timeout = 10 * time.Second
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Errors = true
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewAsyncProducer([]string{given.Bootstrap}, config)
	if err != nil {
		return err
	}
	go func() {
		for failure := range producer.Errors() {
			agent.Complain("produce", failure.Err)
		}
	}()
	// There is one transaction at a time, and claims are handled side by side.
	var mutex sync.Mutex
	transactions := 0
	handle := func(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
		for {
			messages := take(session, claim)
			if len(messages) == 0 {
				return nil
			}
			mutex.Lock()
			for isDone := false; !isDone; {
				transactions++
				isDone = transactions%7 != 0
				err := transfer(producer, given, session, messages, isDone)
				if err != nil {
					// Whoever is started next reads them again.
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
			mutex.Unlock()
			agent.Say("committed", len(messages))
		}
	}
	return consumeGroup(given, config, given.From, member{handle, func(sarama.ConsumerGroupSession) {}})
}

// take waits for a message and takes those that are there already too; none when the claim is over.
func take(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) []*sarama.ConsumerMessage {
	var messages []*sarama.ConsumerMessage
	select {
	case message, isOpen := <-claim.Messages():
		if !isOpen {
			return nil
		}
		messages = append(messages, message)
	case <-session.Context().Done():
		return nil
	}
	for len(messages) < transactionRecords {
		select {
		case message, isOpen := <-claim.Messages():
			if !isOpen {
				return messages
			}
			messages = append(messages, message)
		default:
			return messages
		}
	}
	return messages
}

func transfer(
	producer sarama.AsyncProducer,
	given agent.Parameters,
	session sarama.ConsumerGroupSession,
	messages []*sarama.ConsumerMessage,
	isWanted bool,
) error {
	if err := producer.BeginTxn(); err != nil {
		return err
	}
	for _, message := range messages {
		record := fromSarama(message)
		record.Value = append(slices.Clone(record.Value), '!')
		record.Timestamp = time.Now()
		producer.Input() <- toSarama(record, given.To)
	}
	if !isWanted {
		return retried(producer.AbortTxn)
	}
	last := messages[len(messages)-1]
	metadata := sarama.NewConsumerGroupMetadataFromSession(session, given.Group, nil)
	err := retried(func() error { return producer.AddMessageToTxnWithGroupMetadata(last, metadata, nil) })
	if err == nil {
		err = retried(producer.CommitTxn)
	}
	return err
}

func retried(call func() error) error {
	err := call()
	for left := transactionTries; err != nil && left > 0; left-- {
		time.Sleep(100 * time.Millisecond)
		err = call()
	}
	return err
}

func toSarama(record agent.Record, topic string) *sarama.ProducerMessage {
	message := &sarama.ProducerMessage{Topic: topic, Partition: record.Partition, Timestamp: record.Timestamp}
	if record.Key != nil {
		message.Key = sarama.ByteEncoder(record.Key)
	}
	if record.Value != nil {
		message.Value = sarama.ByteEncoder(record.Value)
	}
	for _, header := range record.Headers {
		message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(header.Name), Value: header.Value})
	}
	return message
}

func fromSarama(message *sarama.ConsumerMessage) agent.Record {
	record := agent.Record{
		Partition: message.Partition, Offset: message.Offset, Key: message.Key, Value: message.Value,
		Timestamp: message.Timestamp,
	}
	for _, header := range message.Headers {
		record.Headers = append(record.Headers, agent.Header{Name: string(header.Key), Value: header.Value})
	}
	return record
}
