// The other end of the interoperability tests, over quic-go.
//
//	peer serve CERT KEY ADDRESS               says "port N", sends back what comes on each stream, until its input ends
//	peer call CERT KEY ADDRESS STREAMS BYTES  so many streams at once, so many bytes on each; compares
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
)

const wait = 60 * time.Second

// Both ends show the same certificate and take no other.
func configuration(cert, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	own := pair.Certificate[0]
	return &tls.Config{
		Certificates:       []tls.Certificate{pair},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // the comparison below is stricter
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, own) {
				return errors.New("another certificate")
			}
			return nil
		},
		NextProtos: []string{"interop"},
		ServerName: "interop.test",
	}, nil
}

func echo(conn *quic.Conn) {
	for {
		stream, err := conn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(stream, stream)
			_ = stream.Close()
		}()
	}
}

func serve(config *tls.Config, address string) error {
	listener, err := quic.ListenAddr(address, config, &quic.Config{})
	if err != nil {
		return err
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.UDPAddr).Port)
	go func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			go echo(conn)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func content(stream, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(stream*41 + i*131 + (i>>8)*7)
	}
	return data
}

func one(ctx context.Context, conn *quic.Conn, number, size int) error {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	data := content(number, size)
	go func() {
		_, _ = stream.Write(data)
		_ = stream.Close()
	}()
	back, err := io.ReadAll(stream)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("stream %d: %d of %d bytes, or changed", number, len(back), size)
	}
	return nil
}

func call(config *tls.Config, address string, streams, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	conn, err := quic.DialAddr(ctx, address, config, &quic.Config{})
	if err != nil {
		return err
	}
	results := make(chan error, streams)
	for i := 0; i < streams; i++ {
		go func() { results <- one(ctx, conn, i, size) }()
	}
	for i := 0; i < streams; i++ {
		if err := <-results; err != nil {
			return err
		}
	}
	state := conn.ConnectionState().TLS
	fmt.Printf("group %s cipher %s\n", state.CurveID, tls.CipherSuiteName(state.CipherSuite))
	return conn.CloseWithError(0, "")
}

func run(arguments []string) error {
	if len(arguments) < 4 {
		return errors.New("usage: peer serve CERT KEY ADDRESS | call CERT KEY ADDRESS STREAMS BYTES")
	}
	config, err := configuration(arguments[1], arguments[2])
	if err != nil {
		return err
	}
	if arguments[0] == "serve" {
		return serve(config, arguments[3])
	}
	if len(arguments) != 6 {
		return errors.New("call needs STREAMS and BYTES")
	}
	streams, err := strconv.Atoi(arguments[4])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(arguments[5])
	if err != nil {
		return err
	}
	return call(config, arguments[3], streams, size)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
