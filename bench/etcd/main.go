// etcd-load drives etcd by gRPC, its own protocol, in the same closed loop as hm-load drives JSON over HTTP, and prints
// the same line of JSON. It is what etcd's users run: the official Go client, with its defaults.
//
// Usage: etcd-load -endpoint 127.0.0.1:2379 -op put|get|range|watch [-clients N] [-conns N] [-seconds S] ...
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

type options struct {
	endpoint, op            string
	clients, conns          int
	keys, values, requests  int
	watchers, rounds        int
	serializable            bool
	warmup, seconds         float64
}

func parse() options {
	var o options
	flag.StringVar(&o.endpoint, "endpoint", "", "127.0.0.1:PORT")
	flag.StringVar(&o.op, "op", "put", "put, get, range or watch")
	flag.IntVar(&o.clients, "clients", 1, "requests on their way at a time")
	flag.IntVar(&o.conns, "conns", 8, "connections they share, at most one for each client")
	flag.IntVar(&o.keys, "keys", 10000, "keys bench/00000000 and on")
	flag.IntVar(&o.values, "value-bytes", 256, "bytes of a value")
	flag.IntVar(&o.requests, "requests", 0, "put keys 0 to N-1 once each, then stop")
	flag.IntVar(&o.watchers, "watchers", 1000, "watches of op watch")
	flag.IntVar(&o.rounds, "rounds", 20, "rounds of one put of op watch")
	flag.BoolVar(&o.serializable, "serializable", false, "reads without a round of consensus")
	flag.Float64Var(&o.warmup, "warmup", 0.3, "seconds not counted")
	flag.Float64Var(&o.seconds, "seconds", 2, "seconds counted")
	flag.Parse()
	if !strings.HasPrefix(o.endpoint, "127.") {
		fail(fmt.Errorf("-endpoint must be an address of this machine's loopback"))
	}
	return o
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "etcd-load:", err)
	os.Exit(1)
}

func dial(o options) []*clientv3.Client {
	clients := make([]*clientv3.Client, min(o.conns, o.clients))
	for i := range clients {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{o.endpoint}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			fail(err)
		}
		clients[i] = client
	}
	return clients
}

func quantiles(name string, times []time.Duration, out map[string]any) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	for label, q := range map[string]float64{"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1} {
		at := min(int(q*float64(len(times))), len(times)-1)
		out[name+label] = float64(times[at].Nanoseconds()) / 1e3
	}
}

func cpuSeconds() float64 {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(use.Utime) + seconds(use.Stime)
}

func emit(out map[string]any) {
	out["client_cpu_s"] = cpuSeconds()
	line, err := json.Marshal(out)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(line))
}

func key(n int) string { return fmt.Sprintf("bench/%08d", n) }

// operation makes the request that each client repeats.
func operation(o options, value string) func(context.Context, *clientv3.Client, int) error {
	var reads []clientv3.OpOption
	if o.serializable {
		reads = append(reads, clientv3.WithSerializable())
	}
	switch o.op {
	case "put":
		return func(ctx context.Context, c *clientv3.Client, n int) error {
			_, err := c.Put(ctx, key(n), value)
			return err
		}
	case "get":
		return func(ctx context.Context, c *clientv3.Client, n int) error {
			_, err := c.Get(ctx, key(n), reads...)
			return err
		}
	case "range":
		return func(ctx context.Context, c *clientv3.Client, n int) error { // the hundred keys around n
			first := key(n)[:len(key(n))-2]
			_, err := c.Get(ctx, first, append(reads, clientv3.WithRange(first+"~"))...)
			return err
		}
	}
	fail(fmt.Errorf("unknown -op %s", o.op))
	return nil
}

func loop(o options) {
	ctx := context.Background()
	conns := dial(o)
	do := operation(o, strings.Repeat("x", o.values))
	for _, c := range conns { // connected before the clock runs
		if _, err := c.Get(ctx, "warm"); err != nil {
			fail(err)
		}
	}
	start := time.Now()
	from := start.Add(time.Duration(o.warmup * float64(time.Second)))
	to := from.Add(time.Duration(o.seconds * float64(time.Second)))
	times := make([][]time.Duration, o.clients)
	var next, answered, errors atomic.Int64
	var group sync.WaitGroup
	for i := range o.clients {
		group.Add(1)
		go func() {
			defer group.Done()
			random := rand.New(rand.NewSource(int64(i)))
			for {
				began := time.Now()
				n := random.Intn(o.keys)
				if o.requests > 0 {
					if n = int(next.Add(1)) - 1; n >= o.requests {
						return
					}
				} else if began.After(to) {
					return
				}
				err := do(ctx, conns[i%len(conns)], n)
				ended := time.Now()
				if err != nil {
					errors.Add(1)
					return
				}
				answered.Add(1)
				if o.requests > 0 || (ended.After(from) && !ended.After(to)) {
					times[i] = append(times[i], ended.Sub(began))
				}
			}
		}()
	}
	group.Wait()
	all := slices.Concat(times...)
	seconds := o.seconds
	if o.requests > 0 {
		seconds = time.Since(start).Seconds()
	}
	out := map[string]any{"clients": o.clients, "ops": len(all), "seconds": seconds,
		"ops_s": float64(len(all)) / seconds, "answered": answered.Load(), "errors": errors.Load()}
	quantiles("", all, out)
	emit(out)
}

type arrival struct {
	events int
	at     time.Time
}

func openWatches(ctx context.Context, o options, conns []*clientv3.Client, into chan<- arrival) {
	for i := range o.watchers {
		// As in etcd's own benchmark: the watches of a connection share its streams.
		watch := conns[i%len(conns)].Watch(ctx, "w/", clientv3.WithRange("w0"), clientv3.WithCreatedNotify())
		if first := <-watch; first.Err() != nil || !first.Created {
			fail(fmt.Errorf("a watch was not created: %v", first.Err()))
		}
		go func() {
			for answer := range watch {
				into <- arrival{len(answer.Events), time.Now()}
			}
		}()
	}
}

func watch(o options) {
	ctx := context.Background()
	value := strings.Repeat("x", o.values)
	putters := o.clients
	o.clients = max(o.conns, 1)
	conns := dial(o)
	arrivals := make(chan arrival, 1<<16)
	began := time.Now()
	openWatches(ctx, o, conns, arrivals)
	out := map[string]any{"watchers": o.watchers, "open_s": time.Since(began).Seconds()}
	var put, first, median, last []time.Duration
	for round := range o.rounds {
		start := time.Now()
		if _, err := conns[0].Put(ctx, fmt.Sprintf("w/%08d", round), value); err != nil {
			fail(err)
		}
		put = append(put, time.Since(start))
		var times []time.Duration
		for len(times) < o.watchers {
			got := <-arrivals
			for range got.events {
				times = append(times, got.at.Sub(start))
			}
		}
		slices.Sort(times)
		first, median = append(first, times[0]), append(median, times[o.watchers/2])
		last = append(last, times[o.watchers-1])
	}
	quantiles("put_", put, out)
	quantiles("first_", first, out)
	quantiles("median_", median, out)
	quantiles("last_", last, out)
	flood(ctx, o, conns, putters, value, arrivals, out)
	emit(out)
}

func flood(ctx context.Context, o options, conns []*clientv3.Client, putters int, value string,
	arrivals <-chan arrival, out map[string]any) {
	var puts atomic.Int64
	done := make(chan struct{})
	start := time.Now()
	end := start.Add(time.Duration(o.seconds * float64(time.Second)))
	go func() {
		var group sync.WaitGroup
		for i := range putters {
			group.Add(1)
			go func() {
				defer group.Done()
				for n := 0; time.Now().Before(end); n++ {
					if _, err := conns[i%len(conns)].Put(ctx, fmt.Sprintf("w/%08d", n), value); err != nil {
						fail(err)
					}
					puts.Add(1)
				}
			}()
		}
		group.Wait()
		close(done)
	}()
	events, last := 0, start
	ended := false
	patience := time.NewTimer(15 * time.Second)
wait:
	for !ended || events < int(puts.Load())*o.watchers {
		select {
		case got := <-arrivals:
			events += got.events
			last = got.at
		case <-done:
			ended, done = true, nil
			patience.Reset(15 * time.Second)
		case <-patience.C:
			break wait
		}
	}
	out["puts"], out["events"] = puts.Load(), events
	out["missing"] = int(puts.Load())*o.watchers - events
	out["seconds"] = last.Sub(start).Seconds()
	out["events_s"] = float64(events) / last.Sub(start).Seconds()
}

func main() {
	if o := parse(); o.op == "watch" {
		watch(o)
	} else {
		loop(o)
	}
}
