# JSON over HTTP with net/http alone: adds a second factor to the organization of the token's user, and lists all factors.
#
#   PORTCULLIS_TOKEN="$(cat data/admin.token)" ruby examples/ruby/example.rb
require "json"
require "net/http"

url = URI(ENV.fetch("PORTCULLIS_URL", "http://127.0.0.1:8080"))
token = ENV.fetch("PORTCULLIS_TOKEN") { abort "set PORTCULLIS_TOKEN, for example to what is in data/admin.token" }
headers = { "Authorization" => "Bearer #{token}", "Content-Type" => "application/json" }
second_factors = "/management/v1/policies/login/second_factors"

# https:// trusts the authorities of the system and those in SSL_CERT_FILE.
Net::HTTP.start(url.host, url.port, use_ssl: url.scheme == "https", open_timeout: 5, read_timeout: 5) do |http|
  response = http.post(second_factors, JSON.generate(type: "SECOND_FACTOR_TYPE_OTP_SMS"), headers)
  if response.is_a?(Net::HTTPSuccess)
    puts "added"
  else
    # Every error has this form. Compare the ids in `details`, not the texts.
    error = JSON.parse(response.body)
    id = error["details"].filter_map { |detail| detail["id"] }.first
    abort "#{error["code"]}: #{error["message"]}" unless id == "Org-2B0ps"
    puts "not added: it is there already (Org-2B0ps)"
  end

  response = http.post("#{second_factors}/_search", "{}", headers)
  response.value # raises unless the status is 2xx
  puts "second factors: #{JSON.parse(response.body)["result"].join(", ")}"
end
