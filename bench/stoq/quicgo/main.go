// A peer for bench/stoq: quic-go with the same command line and protocol as stoqperf's.
//
//	peer server PORT             on PEER_HOST (::1); prints "ready" when it listens; ends when its input ends
//	peer client ADDRESS CONNECTIONS STREAMS SECONDS
//	peer handshakes ADDRESS SECONDS AT_ONCE
//	peer datagrams ADDRESS BYTES SECONDS
//
// A stream carries bytes for SECONDS; the server answers with how many came (8 bytes, big-endian) when they end.
// How many datagrams came, the server prints when it ends.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

const pieceBytes = 1 << 18

var datagramsCame atomic.Int64

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func tlsConfig() *tls.Config {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	fail(err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, public, private)
	fail(err)
	return &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}},
		NextProtos:         []string{"stoqperf"},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // the comparison is of speed; both sides still prove their key
		ServerName:         "localhost",
		CurvePreferences:   []tls.CurveID{tls.X25519MLKEM768},
	}
}

func quicConfig() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow: 16 << 20, MaxStreamReceiveWindow: 16 << 20,
		InitialConnectionReceiveWindow: 24 << 20, MaxConnectionReceiveWindow: 24 << 20,
		MaxIncomingStreams: 256, MaxIdleTimeout: 30 * time.Second, InitialPacketSize: 1452, DisablePathMTUDiscovery: true,
		EnableDatagrams: true,
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func serveStream(stream *quic.Stream) {
	buffer := make([]byte, pieceBytes)
	var total uint64
	for {
		n, err := stream.Read(buffer)
		total += uint64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
	}
	var answer [8]byte
	binary.BigEndian.PutUint64(answer[:], total)
	_, _ = stream.Write(answer[:])
	_ = stream.Close()
}

func server(port string) {
	host := os.Getenv("PEER_HOST")
	if host == "" {
		host = "::1"
	}
	listener, err := quic.ListenAddr("["+host+"]:"+port, tlsConfig(), quicConfig())
	fail(err)
	fmt.Println("ready", listener.Addr().String())
	go func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					if _, err := conn.ReceiveDatagram(context.Background()); err != nil {
						return
					}
					datagramsCame.Add(1)
				}
			}()
			go func() {
				for {
					stream, err := conn.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go serveStream(stream)
				}
			}()
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Printf("{\"cpu_seconds\": %.3f, \"datagrams\": %d}\n", cpuSeconds(), datagramsCame.Load())
}

func sendFor(conn *quic.Conn, until time.Time) uint64 {
	stream, err := conn.OpenStreamSync(context.Background())
	fail(err)
	piece := make([]byte, pieceBytes)
	for time.Now().Before(until) {
		_, err = stream.Write(piece)
		fail(err)
	}
	fail(stream.Close())
	var answer [8]byte
	_, err = io.ReadFull(stream, answer[:])
	fail(err)
	return binary.BigEndian.Uint64(answer[:])
}

// A byte that the server answers: only then has it, too, seen all of the handshake.
func askOnce(conn *quic.Conn) {
	stream, err := conn.OpenStreamSync(context.Background())
	fail(err)
	_, err = stream.Write([]byte("?"))
	fail(err)
	fail(stream.Close())
	var answer [8]byte
	_, err = io.ReadFull(stream, answer[:])
	fail(err)
}

func client(address string, connections, streams int, seconds float64) {
	var waiting sync.WaitGroup
	var lock sync.Mutex
	var total uint64
	conns := make([]*quic.Conn, connections)
	for i := range conns {
		conn, err := quic.DialAddr(context.Background(), address, tlsConfig(), quicConfig())
		fail(err)
		conns[i] = conn
	}
	start, cpu := time.Now(), cpuSeconds()
	until := start.Add(time.Duration(seconds * float64(time.Second)))
	for _, conn := range conns {
		for i := 0; i < streams; i++ {
			waiting.Add(1)
			go func() {
				defer waiting.Done()
				sent := sendFor(conn, until)
				lock.Lock()
				total += sent
				lock.Unlock()
			}()
		}
	}
	waiting.Wait()
	elapsed := time.Since(start).Seconds()
	fail(json.NewEncoder(os.Stdout).Encode(map[string]any{"bytes": total, "seconds": elapsed,
		"gbit_s": float64(total) * 8 / elapsed / 1e9, "cpu_seconds": cpuSeconds() - cpu}))
}

func handshakes(address string, seconds float64, atOnce int) {
	var waiting sync.WaitGroup
	var count atomic.Int64
	start, cpu := time.Now(), cpuSeconds()
	for i := 0; i < atOnce; i++ {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			tlsClient, config := tlsConfig(), quicConfig()
			for time.Since(start).Seconds() < seconds {
				conn, err := quic.DialAddr(context.Background(), address, tlsClient, config)
				fail(err)
				askOnce(conn)
				_ = conn.CloseWithError(0, "")
				count.Add(1)
			}
		}()
	}
	waiting.Wait()
	elapsed := time.Since(start).Seconds()
	fail(json.NewEncoder(os.Stdout).Encode(map[string]any{"handshakes": count.Load(), "seconds": elapsed,
		"per_second": float64(count.Load()) / elapsed, "cpu_seconds": cpuSeconds() - cpu}))
}

func datagrams(address string, bytesEach int, seconds float64) {
	conn, err := quic.DialAddr(context.Background(), address, tlsConfig(), quicConfig())
	fail(err)
	start, cpu, piece, sent := time.Now(), cpuSeconds(), make([]byte, bytesEach), 0
	for ; time.Since(start).Seconds() < seconds; sent++ {
		fail(conn.SendDatagram(piece))
	}
	elapsed := time.Since(start).Seconds()
	askOnce(conn)
	fail(json.NewEncoder(os.Stdout).Encode(map[string]any{"sent": sent, "datagram_bytes": bytesEach, "seconds": elapsed,
		"cpu_seconds": cpuSeconds() - cpu}))
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	fail(err)
	return value
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "server":
		server(os.Args[2])
	case len(os.Args) == 6 && os.Args[1] == "client":
		client(os.Args[2], int(number(os.Args[3])), int(number(os.Args[4])), number(os.Args[5]))
	case len(os.Args) == 5 && os.Args[1] == "handshakes":
		handshakes(os.Args[2], number(os.Args[3]), int(number(os.Args[4])))
	case len(os.Args) == 5 && os.Args[1] == "datagrams":
		datagrams(os.Args[2], int(number(os.Args[3])), number(os.Args[4]))
	default:
		fmt.Fprintln(os.Stderr, "usage: peer server PORT | client ADDRESS CONNECTIONS STREAMS SECONDS | handshakes ADDRESS SECONDS AT_ONCE | datagrams ADDRESS BYTES SECONDS")
		os.Exit(2)
	}
}
