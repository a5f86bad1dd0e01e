// gRPC with grpc-go: adds a second factor to the organization of the token's user, and lists all factors.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/url"
	"os"
	"strings"
	"time"

	managementv1 "example.com/second-factors/gen/zitadel/management/v1"
	policyv1 "example.com/second-factors/gen/zitadel/policy/v1"
	zitadelv1 "example.com/second-factors/gen/zitadel/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// errorID returns the id of an error. Compare ids, because texts may change.
func errorID(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if known, ok := detail.(*zitadelv1.ErrorDetail); ok {
			return known.GetId()
		}
	}
	return ""
}

func main() {
	log.SetFlags(0)
	token := os.Getenv("PORTCULLIS_TOKEN")
	if token == "" {
		log.Fatal("set PORTCULLIS_TOKEN, for example to what is in data/admin.token")
	}
	server, err := url.Parse(cmp.Or(os.Getenv("PORTCULLIS_URL"), "http://127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err)
	}
	transport := insecure.NewCredentials()
	if server.Scheme == "https" {
		transport = credentials.NewTLS(nil)
	}
	connection, err := grpc.NewClient(server.Host, grpc.WithTransportCredentials(transport))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	client := managementv1.NewManagementServiceClient(connection)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)

	sms := policyv1.SecondFactorType_SECOND_FACTOR_TYPE_OTP_SMS
	_, err = client.AddSecondFactorToLoginPolicy(ctx, &managementv1.AddSecondFactorToLoginPolicyRequest{Type: sms})
	switch {
	case err == nil:
		fmt.Println("added")
	case errorID(err) == "Org-2B0ps": // already there
		fmt.Println("not added:", status.Convert(err).Message())
	default:
		log.Fatal(err)
	}

	listed, err := client.ListLoginPolicySecondFactors(ctx, &managementv1.ListLoginPolicySecondFactorsRequest{})
	if err != nil {
		log.Fatal(err)
	}
	var names []string
	for _, factor := range listed.GetResult() {
		names = append(names, factor.String())
	}
	fmt.Println("second factors:", strings.Join(names, ", "))
}
