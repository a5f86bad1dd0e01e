//! gRPC with tonic: adds a second factor to the organization of the token's user, and lists all factors.
//!
//!     npm run proto:export
//!     cd examples/rust && PORTCULLIS_TOKEN="$(cat ../../data/admin.token)" cargo run --bin portcullis-example
use std::env;

use prost::Message;
use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic::{Request, metadata::AsciiMetadataValue};

tonic::include_proto!("portcullis");
use zitadel::management::v1::management_service_client::ManagementServiceClient;
use zitadel::management::v1::{AddSecondFactorToLoginPolicyRequest, ListLoginPolicySecondFactorsRequest};
use zitadel::{policy::v1::SecondFactorType, v1::ErrorDetail};

/// Returns the id in the ErrorDetail of a refused call. Compare the id, not the text.
fn error_id(status: &tonic::Status) -> Option<String> {
    let details = tonic_types::Status::decode(status.details()).ok()?.details;
    let detail = details.iter().find(|any| any.type_url.ends_with("/zitadel.v1.ErrorDetail"))?;
    Some(ErrorDetail::decode(&*detail.value).ok()?.id)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("PORTCULLIS_URL").unwrap_or("http://127.0.0.1:8080".into());
    let token = env::var("PORTCULLIS_TOKEN").map_err(|_| "set PORTCULLIS_TOKEN, for example to what is in data/admin.token")?;
    // http:// is plaintext; https:// trusts the authorities of the system and those in SSL_CERT_FILE.
    let endpoint = Endpoint::from_shared(url)?.tls_config(ClientTlsConfig::new().with_enabled_roots())?;
    let bearer: AsciiMetadataValue = format!("Bearer {token}").parse()?;
    let with_token = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", bearer.clone());
        Ok(request)
    };
    let mut client = ManagementServiceClient::with_interceptor(endpoint.connect().await?, with_token);

    let request = AddSecondFactorToLoginPolicyRequest { r#type: SecondFactorType::OtpSms.into() };
    match client.add_second_factor_to_login_policy(request).await {
        Ok(_) => println!("added"),
        Err(status) if error_id(&status).as_deref() == Some("Org-2B0ps") => {
            println!("not added: it is there already (Org-2B0ps)");
        }
        Err(status) => return Err(status.into()),
    }
    let response = client.list_login_policy_second_factors(ListLoginPolicySecondFactorsRequest {}).await?;
    let factors: Vec<_> = response.get_ref().result().map(|factor| factor.as_str_name()).collect();
    println!("second factors: {}", factors.join(", "));
    Ok(())
}
