# Goes through the steps of the interoperability tests with net/http, and prints an object of JSON for each (../client.ts).
require "json"
require "net/http"
require "timeout"
require "zlib"

SECOND_FACTORS = "/management/v1/policies/login/second_factors"
SMS = "SECOND_FACTOR_TYPE_OTP_SMS"

def start(address, &block)
  url = URI(address)
  is_tls = url.scheme == "https"
  Net::HTTP.start(url.host, url.port, nil, use_ssl: is_tls, ca_file: (ENV["PORTCULLIS_CA"] if is_tls), &block)
end

def headers(token: ENV["PORTCULLIS_TOKEN"], **others)
  { "Authorization" => "Bearer #{token}", "Content-Type" => "application/json", **others }
end

def list(http, **options)
  http.post("#{SECOND_FACTORS}/_search", "{}", headers(**options))
end

def add(http, body = JSON.generate(type: SMS), **options)
  http.post(SECOND_FACTORS, body, headers(**options))
end

def parsed(response)
  response.value # raises where the status is not 2xx
  JSON.parse(response.body)
end

def refusal(response)
  error = JSON.parse(response.body)
  detail = error["details"].find { |any| any["@type"] == "type.googleapis.com/zitadel.v1.ErrorDetail" }
  { code: error["code"], message: error["message"], id: detail && detail["id"] }
end

def tell(step, result)
  puts JSON.generate(step: step, **result)
end

start(ENV["PORTCULLIS_URL"]) do |http|
  tell "list", result: parsed(list(http))["result"]

  response = add(http)
  parsed(response)
  tell "add", ok: true, policyHeader: response["portcullis-policy"]

  tell "add again", refusal(add(http))

  parsed(http.delete("#{SECOND_FACTORS}/#{SMS}", headers))
  tell "remove", ok: true

  policy = parsed(http.get("/management/v1/policies/login", headers))["policy"]
  tell "get policy", isDefault: policy["isDefault"], secondFactors: policy["secondFactors"]

  tell "wrong token", refusal(list(http, token: "wrong"))

  other = parsed(list(http, "x-zitadel-orgid" => ENV["PORTCULLIS_OTHER_ORGANIZATION"]))
  tell "other organization", result: other["result"]

  # Net::HTTP's own limits are for one step each (open, TLS, one read); this one is for the call with its connection.
  begin
    Timeout.timeout(0.3) { start(ENV["PORTCULLIS_SLOW_URL"]) { |slow| list(slow) } }
    tell "deadline", code: 0
  rescue Timeout::Error
    tell "deadline", code: 4
  end

  # The body of a list is not read by the server. This one is, right where it is refused so.
  refused = refusal(add(http, Zlib.gzip(JSON.generate(type: "SECOND_FACTOR_TYPE_OTP")), "Content-Encoding" => "gzip"))
  # Net::HTTP asks for gzip and decodes it by itself, unless Accept-Encoding is set by hand.
  response = list(http, "Accept-Encoding" => "gzip")
  response.value
  body = response["content-encoding"] == "gzip" ? Zlib.gunzip(response.body) : response.body
  tell "gzip", ok: refused[:code] == 6, result: JSON.parse(body)["result"]
end
