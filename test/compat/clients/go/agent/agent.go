// Package agent is what the agents of all Go libraries share: see ../README.md for the commands and the test records.
package agent

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Parameters are those of all commands.
type Parameters struct {
	Bootstrap        string
	Topic            string
	Partitions       int32
	First            int
	Count            int
	Codec            string
	Acks             string
	Idempotent       bool
	Isolation        string
	Group            string
	Protocol         string
	Assignor         string
	InstanceId       string
	SessionTimeoutMs int
	From             string
	To               string
	TransactionalId  string
}

// Command does what an agent is told.
type Command func(Parameters) error

// ErrCannot is what a command returns when its library cannot do that.
var ErrCannot = errors.New("this library cannot do that")

// ErrIdle is what a command returns when no record came for too long.
var ErrIdle = errors.New("no record came for 30 seconds")

// IdleMax is how long a consumer waits for a record.
const IdleMax = 30 * time.Second

const (
	exitFailed = 1
	exitCannot = 3
	exitIdle   = 4
)

// Run runs the command that the arguments name, and ends the program as the contract says.
func Run(commands map[string]Command) {
	if len(os.Args) != 3 {
		fail("usage: PROGRAM COMMAND JSON")
	}
	command, found := commands[os.Args[1]]
	if !found {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], ErrCannot)
		os.Exit(exitCannot)
	}
	var parameters Parameters
	if err := json.Unmarshal([]byte(os.Args[2]), &parameters); err != nil {
		fail(err.Error())
	}
	err := command(parameters)
	Flush()
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, ErrCannot):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCannot)
	case errors.Is(err, ErrIdle):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitIdle)
	default:
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(exitFailed)
}

// Header is a header of a record.
type Header struct {
	Name  string
	Value []byte
}

// Record is a test record, or one that was read.
type Record struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp time.Time
}

const timestampFirst = 1_700_000_000_000

// TestRecord is the test record i, for this many partitions.
func TestRecord(i int, partitions int32) Record {
	record := Record{
		Partition: int32(i % int(partitions)),
		Headers:   []Header{{"n", []byte(strconv.Itoa(i))}},
		Timestamp: time.UnixMilli(timestampFirst + int64(i)),
	}
	if i%11 != 0 {
		record.Key = fmt.Appendf(nil, "key-%d", i%97)
	}
	if i%13 != 0 {
		record.Value = fmt.Appendf(nil, "value-%d-%s", i, strings.Repeat("x", i%200))
	}
	if i%3 == 0 {
		record.Headers = append(record.Headers, Header{"empty", []byte{}})
	}
	return record
}

// Number is which test record this is: by its header, or by its value.
func (record Record) Number() int {
	for _, header := range record.Headers {
		if header.Name == "n" {
			number, _ := strconv.Atoi(string(header.Value))
			return number
		}
	}
	parts := strings.Split(string(record.Value), "-")
	if len(parts) < 2 {
		return -1
	}
	number, err := strconv.Atoi(parts[1])
	if err != nil {
		return -1
	}
	return number
}

var (
	output      = bufio.NewWriterSize(os.Stdout, 64*1024)
	outputMutex sync.Mutex
)

// Flush hands out what was printed so far.
func Flush() {
	outputMutex.Lock()
	defer outputMutex.Unlock()
	output.Flush()
}

// Say prints a line of JSON, at once.
func Say(name string, value any) {
	text, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		fail(err.Error())
	}
	outputMutex.Lock()
	defer outputMutex.Unlock()
	output.Write(text)
	output.WriteByte('\n')
	output.Flush()
}

// SayPartitions prints the same for partitions, which may be none.
func SayPartitions(name string, partitions []int32) {
	Say(name, append([]int32{}, partitions...))
}

// Show prints a record as `consume` does.
func Show(record Record) {
	line := make([]byte, 0, 512)
	line = fmt.Appendf(line, `{"p":%d,"o":%d,"k":`, record.Partition, record.Offset)
	line = appendBase64(line, record.Key)
	line = append(line, `,"v":`...)
	line = appendBase64(line, record.Value)
	line = append(line, `,"h":[`...)
	for i, header := range record.Headers {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, '[')
		line = strconv.AppendQuote(line, header.Name)
		line = append(line, ',')
		line = appendBase64(line, header.Value)
		line = append(line, ']')
	}
	line = fmt.Appendf(line, "],\"t\":%d}\n", record.Timestamp.UnixMilli())
	outputMutex.Lock()
	defer outputMutex.Unlock()
	output.Write(line)
}

// ShowNumber prints a record as `join` does.
func ShowNumber(record Record) {
	outputMutex.Lock()
	defer outputMutex.Unlock()
	fmt.Fprintf(output, "{\"p\":%d,\"o\":%d,\"i\":%d}\n", record.Partition, record.Offset, record.Number())
}

func appendBase64(line []byte, value []byte) []byte {
	if value == nil {
		return append(line, "null"...)
	}
	line = append(line, '"')
	line = base64.StdEncoding.AppendEncode(line, value)
	return append(line, '"')
}

// Stopped is closed when the line `stop` comes, or the input ends.
func Stopped() <-chan struct{} {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			if lines.Text() == "stop" {
				return
			}
		}
	}()
	return stopped
}

// Complain prints a diagnosis.
func Complain(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
}
