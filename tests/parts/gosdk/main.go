// Spans by the SDK of Go, as a service would make them: gosdk HOST:PORT TRACES COMPRESSION.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func run(target, count, compression string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var failed error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(e error) { failed = errors.Join(failed, e) }))
	ctx := context.Background()
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(target), otlptracegrpc.WithInsecure()}
	if compression != "none" {
		options = append(options, otlptracegrpc.WithCompressor(compression))
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return err
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter, sdk.WithBlocking()),
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", "go-shop"))),
	)
	tracer := provider.Tracer("one", trace.WithInstrumentationVersion("1.2"))
	for i := range n {
		shop(ctx, tracer, i)
	}
	return errors.Join(provider.Shutdown(ctx), failed)
}

// shop makes a trace of two spans: with attributes of every kind, an event, a link and an error.
func shop(ctx context.Context, tracer trace.Tracer, i int) {
	ctx, parent := tracer.Start(ctx, "GET /", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.Int("i", i), attribute.Bool("odd", i%2 == 1), attribute.Float64("half", float64(i)/2),
		attribute.StringSlice("zones", []string{"a", "b"}), attribute.String("text", fmt.Sprintf("ü%d", i)),
	))
	defer parent.End()
	parent.AddEvent("began", trace.WithAttributes(attribute.Int("at", i)))
	_, child := tracer.Start(ctx, "SELECT", trace.WithLinks(trace.LinkFromContext(ctx)))
	child.SetStatus(codes.Error, "no such row")
	child.End()
}
