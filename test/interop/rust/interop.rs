//! Goes through the steps of the interoperability tests with tonic, and prints an object of JSON for each (../client.ts).
use std::{env, error::Error, fs, time::Duration};

use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

tonic::include_proto!("portcullis");
use zitadel::management::v1::management_service_client::ManagementServiceClient;
use zitadel::management::v1::{
    AddSecondFactorToLoginPolicyRequest, GetLoginPolicyRequest, ListLoginPolicySecondFactorsRequest,
    ListLoginPolicySecondFactorsResponse, RemoveSecondFactorFromLoginPolicyRequest,
};
use zitadel::policy::v1::SecondFactorType;
use zitadel::v1::ErrorDetail;

/// Whose calls they are, and about which organization.
#[derive(Clone)]
struct Caller {
    authorization: MetadataValue<Ascii>,
    organization: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.authorization.clone());
        if let Some(organization) = &self.organization {
            request.metadata_mut().insert("x-zitadel-orgid", organization.clone());
        }
        Ok(request)
    }
}

type Client = ManagementServiceClient<InterceptedService<Channel, Caller>>;

fn client(channel: Channel, token: &str, organization: Option<&str>) -> Result<Client, Box<dyn Error>> {
    let caller = Caller {
        authorization: format!("Bearer {token}").parse()?,
        organization: organization.map(str::parse).transpose()?,
    };
    Ok(ManagementServiceClient::with_interceptor(channel, caller))
}

/// Connects with the first call. TLS is used where the URL says https.
fn channel(url: String) -> Result<Channel, Box<dyn Error>> {
    let endpoint = Endpoint::from_shared(url)?;
    let authority = Certificate::from_pem(fs::read(variable("PORTCULLIS_CA")?)?);
    Ok(endpoint.tls_config(ClientTlsConfig::new().ca_certificate(authority))?.connect_lazy())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}

fn error_id(status: &Status) -> Option<String> {
    let details = tonic_types::Status::decode(status.details()).ok()?.details;
    let detail = details.iter().find(|any| any.type_url == "type.googleapis.com/zitadel.v1.ErrorDetail")?;
    Some(ErrorDetail::decode(&*detail.value).ok()?.id)
}

/// Text as JSON.
fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

fn names(factors: impl Iterator<Item = SecondFactorType>) -> String {
    format!("[{}]", factors.map(|factor| quoted(factor.as_str_name())).collect::<Vec<_>>().join(","))
}

fn listed(response: tonic::Response<ListLoginPolicySecondFactorsResponse>) -> String {
    names(response.get_ref().result())
}

fn refused(step: &str, status: &Status) {
    println!(
        r#"{{"step":{},"code":{},"message":{},"id":{}}}"#,
        quoted(step),
        i32::from(status.code()),
        quoted(status.message()),
        quoted(&error_id(status).unwrap_or_default()),
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = variable("PORTCULLIS_TOKEN")?;
    let fast = channel(variable("PORTCULLIS_URL")?)?;
    let mut home = client(fast.clone(), &token, None)?;
    let list = ListLoginPolicySecondFactorsRequest {};
    let add = AddSecondFactorToLoginPolicyRequest { r#type: SecondFactorType::OtpSms.into() };
    let remove = RemoveSecondFactorFromLoginPolicyRequest { r#type: SecondFactorType::OtpSms.into() };

    let response = home.list_login_policy_second_factors(list).await?;
    println!(r#"{{"step":"list","result":{}}}"#, listed(response));

    let response = home.add_second_factor_to_login_policy(add).await?;
    let header = response.metadata().get("portcullis-policy").map(|value| value.to_str()).transpose()?;
    println!(r#"{{"step":"add","ok":true,"policyHeader":{}}}"#, quoted(header.unwrap_or_default()));

    match home.add_second_factor_to_login_policy(add).await {
        Err(status) => refused("add again", &status),
        Ok(_) => eprintln!("add again: it was not refused"),
    }

    home.remove_second_factor_from_login_policy(remove).await?;
    println!(r#"{{"step":"remove","ok":true}}"#);

    let response = home.get_login_policy(GetLoginPolicyRequest {}).await?;
    let policy = response.into_inner().policy.unwrap_or_default();
    println!(
        r#"{{"step":"get policy","isDefault":{},"secondFactors":{}}}"#,
        policy.is_default,
        names(policy.second_factors()),
    );

    match client(fast.clone(), "wrong", None)?.list_login_policy_second_factors(list).await {
        Err(status) => refused("wrong token", &status),
        Ok(_) => eprintln!("wrong token: it was not refused"),
    }

    let organization = variable("PORTCULLIS_OTHER_ORGANIZATION")?;
    let response = client(fast, &token, Some(&organization))?.list_login_policy_second_factors(list).await?;
    println!(r#"{{"step":"other organization","result":{}}}"#, listed(response));

    // The server is told by set_timeout. tonic ends the call by it as well, with CANCELLED, but only once it is connected;
    // the timeout around the call counts from the start.
    let limit = Duration::from_millis(300);
    let mut slow = client(channel(variable("PORTCULLIS_SLOW_URL")?)?, &token, None)?;
    let mut request = Request::new(list);
    request.set_timeout(limit);
    let code = match tokio::time::timeout(limit, slow.list_login_policy_second_factors(request)).await {
        Err(_elapsed) => Code::DeadlineExceeded,
        Ok(Err(status)) if status.code() == Code::Cancelled => Code::DeadlineExceeded,
        Ok(Err(status)) => status.code(),
        Ok(Ok(_)) => Code::Ok,
    };
    println!(r#"{{"step":"deadline","code":{}}}"#, i32::from(code));

    let mut zipping =
        home.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let response = zipping.list_login_policy_second_factors(list).await?;
    println!(r#"{{"step":"gzip","ok":true,"result":{}}}"#, listed(response));
    Ok(())
}
