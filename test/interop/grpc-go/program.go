// grpc-go, with stubs by protoc-gen-go and protoc-gen-go-grpc. What it has to print is in ../script.ts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	managementv1 "example.com/second-factors/gen/zitadel/management/v1"
	policyv1 "example.com/second-factors/gen/zitadel/policy/v1"
	zitadelv1 "example.com/second-factors/gen/zitadel/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const sms = policyv1.SecondFactorType_SECOND_FACTOR_TYPE_OTP_SMS

var organization = os.Getenv("PORTCULLIS_ORGANIZATION")

type said map[string]any

func connect(to string) (*grpc.ClientConn, error) {
	server, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if server.Scheme == "https" {
		if transport, err = credentials.NewClientTLSFromFile(os.Getenv("PORTCULLIS_CA"), ""); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(server.Host, grpc.WithTransportCredentials(transport))
}

func as(token, organization string) context.Context {
	return metadata.AppendToOutgoingContext(context.Background(),
		"authorization", "Bearer "+token, "x-zitadel-orgid", organization)
}

func names(factors []policyv1.SecondFactorType) []string {
	told := []string{}
	for _, factor := range factors {
		told = append(told, factor.String())
	}
	return told
}

func list(ctx context.Context, client managementv1.ManagementServiceClient, options ...grpc.CallOption) ([]string, error) {
	listed, err := client.ListLoginPolicySecondFactors(ctx, &managementv1.ListLoginPolicySecondFactorsRequest{}, options...)
	return names(listed.GetResult()), err
}

func add(ctx context.Context, client managementv1.ManagementServiceClient, factor policyv1.SecondFactorType,
	options ...grpc.CallOption) error {
	_, err := client.AddSecondFactorToLoginPolicy(ctx, &managementv1.AddSecondFactorToLoginPolicyRequest{Type: factor},
		options...)
	return err
}

func refusal(err error) (said, error) {
	if err == nil {
		return nil, errors.New("the call was not refused")
	}
	told := said{"code": status.Code(err), "message": status.Convert(err).Message()}
	for _, detail := range status.Convert(err).Details() {
		if known, ok := detail.(*zitadelv1.ErrorDetail); ok {
			told["id"] = known.GetId()
		}
	}
	return told, nil
}

func main() {
	connection, err := connect(os.Getenv("PORTCULLIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := managementv1.NewManagementServiceClient(connection)
	token := os.Getenv("PORTCULLIS_TOKEN")
	ctx := as(token, organization)

	step := func(name string, call func() (said, error)) {
		told, err := call()
		if err != nil {
			log.Printf("%s: %v", name, err)
			return
		}
		told["step"] = name
		line, err := json.Marshal(told)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(line))
	}

	step("list", func() (said, error) {
		factors, err := list(ctx, client)
		return said{"result": factors}, err
	})
	step("add", func() (said, error) {
		var header metadata.MD
		err := add(ctx, client, sms, grpc.Header(&header))
		told := said{"ok": true}
		if values := header.Get("portcullis-policy"); len(values) > 0 {
			told["policyHeader"] = values[0]
		}
		return told, err
	})
	step("add again", func() (said, error) { return refusal(add(ctx, client, sms)) })
	step("remove", func() (said, error) {
		request := &managementv1.RemoveSecondFactorFromLoginPolicyRequest{Type: sms}
		_, err := client.RemoveSecondFactorFromLoginPolicy(ctx, request)
		return said{"ok": true}, err
	})
	step("get policy", func() (said, error) {
		answer, err := client.GetLoginPolicy(ctx, &managementv1.GetLoginPolicyRequest{})
		kept := answer.GetPolicy()
		return said{"isDefault": kept.GetIsDefault(), "secondFactors": names(kept.GetSecondFactors())}, err
	})
	step("wrong token", func() (said, error) {
		_, err := list(as("wrong", organization), client)
		return refusal(err)
	})
	step("other organization", func() (said, error) {
		factors, err := list(as(token, os.Getenv("PORTCULLIS_OTHER_ORGANIZATION")), client)
		return said{"result": factors}, err
	})
	step("deadline", func() (said, error) {
		slow, err := connect(os.Getenv("PORTCULLIS_SLOW_URL"))
		if err != nil {
			return nil, err
		}
		defer slow.Close()
		hurried, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		_, err = list(hurried, managementv1.NewManagementServiceClient(slow))
		return refusal(err)
	})
	step("gzip", func() (said, error) {
		compressed := grpc.UseCompressor(gzip.Name)
		// An empty request, as of a list, is not compressed. This one is read right where it is refused so.
		refused, err := refusal(add(ctx, client, policyv1.SecondFactorType_SECOND_FACTOR_TYPE_OTP, compressed))
		if err != nil {
			return nil, err
		}
		factors, err := list(ctx, client, compressed)
		return said{"ok": refused["id"] == "Org-2B0ps", "result": factors}, err
	})
}
