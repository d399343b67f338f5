//! Words that announce an identifier: in prose (`MRN 0921098`), in keys (`patient_mrn`) and in
//! headers (`PAT_LAST_NM`) alike.
//!
//! One vocabulary serves all three. A word may announce several things; what it means where it
//! stands is for [`super::key`] and the rules to say.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use super::lexicon;

/// What a word announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cues(u64);

macro_rules! cues {
    ($($(#[$doc:meta])* $name:ident = $bit:expr, $words:expr;)*) => {
        impl Cues {
            $($(#[$doc])* pub const $name: Cues = Cues(1 << $bit);)*
        }
        const WORDS: &[(Cues, &str)] = &[$((Cues::$name, $words),)*];
    };
}

impl Cues {
    /// It announces any of `others`.
    #[must_use]
    pub const fn has(self, others: Cues) -> bool {
        self.0 & others.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn or(self, other: Cues) -> Cues {
        Cues(self.0 | other.0)
    }

    /// It announces nothing.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

cues! {
    /// Medical records.
    MRN = 0,
        "mrn mrns mrno medrec emrn emr hosp hospno umrn nhs patid patno pid chartno ptno";
    /// Social security and tax numbers.
    SSN = 1,
        "ssn ssns ss ssnum socsec socialsecurity security itin nino ssnid taxpayer usssn \
         aadhaar aadhar nir insee dni cpf curp nif bsn ahv tin tins";
    /// Health plans.
    PLAN = 2,
        "member memberid subscriber subscriberid policy policyholder insurance insured \
         insurer plan beneficiary medicare medicaid mbi hicn hic cardholder enrollee \
         enrolment enrollment healthplan coverage payer payor ins auth authorization bcbs \
         certificate benefits mem memb subscr subid sub hmo ppo tricare";
    /// Accounts and cards.
    ACCOUNT = 3,
        "account accounts acct acctno acc iban card cards creditcard debit routing aba bank \
         checking visa mastercard amex bic konto kontonummer sepa giro pan guarantoracct \
         sortcode";
    /// Licences and certificates.
    LICENSE = 4,
        "license licence licensed dea driver drivers passport lic licenceno licenseno \
         licensure certification ein cdl usdea npi";
    /// Vehicles.
    VEHICLE = 5,
        "vin vehicle plate plates licenseplate vrn automobile truck ambulance";
    /// Devices.
    DEVICE = 6,
        "serial udi imei serialno sn imsi meid iccid idfa idfv gaid aaid lotnumber";
    /// Something with a number of its own.
    CODE = 7,
        "case accession encounter visit rx prescription claim specimen chart requisition \
         episode referral fin csn har employee badge enrollee donor device caseno acsn study \
         barcode record docket report records charts warrant username userid login subjid \
         subjno ptid mrid accessionno rxno caseid";
    /// A person.
    PERSON = 8,
        "patient pt pat patients pts subject subj person persons client customer resident \
         individual user member subscriber guarantor beneficiary enrollee insured employee \
         student participant applicant claimant veteran recipient donor caller contact \
         candidate tenant passenger guest holder buyer";
    /// That a number follows.
    NUMBER = 9,
        "id ids no num number numbers nr nbr nmbr identifier uid ident code key idno nummer \
         numero";
    /// Names.
    NAME = 10,
        "name names nm nme given family alias aka nom nombre";
    /// Words that make a name a person's.
    NAME_PART = 11,
        "first last middle full given family maiden sur nick preferred legal fore birth \
         suffix prefix initial mothers former married";
    /// Somebody's part in a case; a name follows.
    ROLE = 12,
        "attending surgeon physician provider doctor clinician nurse pcp dictated signed \
         author resident anesthesiologist anaesthetist radiologist pathologist cardiologist \
         oncologist psychiatrist psychologist therapist counselor dentist midwife pharmacist \
         referring ordering consulting consultant performer practitioner operator assistant \
         verifier verified transcribed transcriptionist reviewed witness witnessed \
         interpreter caregiver caretaker guardian proxy poa emergency hcp surrogate nok kin \
         attn attention att attg cc bcc sender recipient payee requester requestor assignee \
         reporter \
         scribe hygienist technician tech neurologist nephrologist urologist dermatologist \
         hospitalist intern fellow registrar gp obstetrician pediatrician paediatrician \
         supervisor supervised performed assisted authored cosigned prov prv spoke \
         coordinator navigator collector dear regarding hello hi hey thanks sincerely regards \
         cheers preparer submitter approver";
    /// Relatives and others near.
    RELATIVE = 13,
        "mother father mom dad mum son daughter wife husband spouse partner brother sister \
         sibling aunt uncle cousin niece nephew grandmother grandfather grandma grandpa \
         grandson granddaughter parent parents neighbor neighbour friend fiance fiancee \
         girlfriend boyfriend stepmother stepfather stepson stepdaughter twin roommate child \
         baby widow widower children sons daughters sisters brothers";
    /// Titles before a name.
    TITLE = 14,
        "mr mrs ms miss mx dr dres drs prof professor rev reverend sr sra srta senora senor \
         herr frau mme monsieur madame mlle sir dame lord lady officer ofc sgt sergeant lt \
         capt captain col maj detective judge hon rabbi imam pastor deacon smt shri sri \
         messrs";
    /// Letters after a name.
    CREDENTIAL = 15,
        "md mds rn lpn lvn np pa pac dnp phd do dds dmd psyd pharmd rph dpt pt ot otr slp \
         lcsw lmsw msw licsw lmft lpc crna cnm cna aprn fnp bsn msn ccrn facs facp facc mbbs \
         frcs frcp mph esq rdms rdh cns ma rt rrt cst emt arnp ncc cde rd";
    /// Letters after a family name.
    SUFFIX = 16,
        "jr sr ii iii iv esq";
    /// Dates.
    DATE = 17,
        "date dates dt dob dos doa dod birth birthdate birthday born birthdt dateofbirth bday \
         admitted admit admission discharge discharged visit service appointment appt \
         collected onset exam procedure surgery expires exp expiry expiration effectivedate \
         lmp edd edc followup deceased died death decease filled refill dispensed diagnosed \
         transferred arrived hospitalized enrolled dated geburtsdatum geb naissance \
         nacimiento";
    /// Words before a date.
    WHEN = 45,
        "since until on from to by seen scheduled received effective performed start end due \
         last next issued signed day started stopped ended dx through thru between before \
         after period week returned";
    /// Births.
    BIRTH = 18,
        "dob birth birthdate birthday born birthdt dateofbirth bday birthplace geburtsdatum \
         geb";
    /// Telephones.
    PHONE = 19,
        "phone phones tel telephone mobile cell cellphone fax pager callback ph telefon \
         telefono whatsapp landline voicemail telecom phonenumber phoneno telno mobilephone \
         homephone workphone cellular msisdn";
    /// Electronic mail.
    EMAIL = 20,
        "email emails mail emailaddress";
    /// Postal codes.
    ZIP = 21,
        "zip zipcode zips postal postcode postalcode plz pincode pin cp";
    /// Streets.
    ADDRESS = 22,
        "address addresses addr street streetaddress line1 line2 address1 address2 \
         addressline residence residing domicile adresse direccion anschrift strasse addr1 \
         addr2 street1";
    /// Places.
    CITY = 23,
        "city town county municipality village suburb district precinct neighborhood \
         neighbourhood parish borough locality township birthplace hometown ort stadt ville \
         ciudad lat lon lng latitude longitude gps geo geocode coordinates";
    /// Ages.
    AGE = 24,
        "age aged ages yo yrs years year";
    /// Months.
    MONTH = 25,
        "january february march april may june july august september october november \
         december jan feb mar apr jun jul aug sep sept oct nov dec";
    /// Days of the week.
    WEEKDAY = 26,
        "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur \
         thurs fri sat sun";
    /// The ends of street names.
    STREET = 27,
        "street st avenue ave av road rd boulevard blvd lane ln drive dr court ct place pl \
         way terrace ter circle cir highway hwy parkway pkwy square sq loop trail trl alley \
         aly route rte crossing xing close gardens gdns crescent cres mews ridge run path \
         plaza pike turnpike tpke bend cove row walk grove point pt landing causeway \
         expressway hollow meadow meadows glen hill hills heights green view vista park \
         bypass extension mission mount mountain spring springs station ville village fork \
         forks key keys lake lakes fall falls ferry field fields flat flats ford forest forge \
         island isle junction knoll manor mill mills neck orchard oval overpass pass port \
         prairie radial ramp ranch rapid rapids rest river shoal shore shores spur stream \
         summit throughway trace track trafficway tunnel union valley viaduct well wells \
         bridge broadway";
    /// Parts of a house.
    UNIT = 28,
        "apt apartment suite ste unit floor fl bldg building flat lot trailer box office";
    /// Words of organisations: what stands before them is no person.
    ORGANISATION = 29,
        "hospital clinic center centre university college school inc llc corp corporation ltd \
         company pharmacy laboratory laboratories labs institute foundation health healthcare \
         medical department church bank group associates services memorial hospice insurance \
         pharmaceuticals systems international library museum airport stadium hotel press \
         news times journal award prize gmbh plc co club team league association society \
         committee council agency ministry";
    /// Words after the name of a discoverer.
    EPONYM = 30,
        "disease syndrome sign test tests score scale palsy catheter drain procedure criteria \
         lymphoma sarcoma fracture maneuver manoeuvre phenomenon index reflex tube line \
         forceps clamp retractor stain method classification grade node nodes gland glands \
         duct muscle ligament contracture chorea thyroiditis tumor tumour esophagus \
         oesophagus anemia anaemia encephalopathy bodies body cells cell cyst cysts hernia \
         incision operation repair law formula equation staging stage triad angle point \
         murmur pulse breathing respiration respirations lines spots spot nodules rash \
         dementia ataxia neuropathy nephropathy cardiomyopathy arthropathy deformity position \
         fever hunger traction splint brace boot screw nail needle knife scissors speculum \
         bag bags cannula trocar filter graft patch valve pump ring questionnaire inventory \
         examination rule ratio stockings stocking roll dressing gauze mask airway blade \
         scope oscopy virus bacillus solution lactate gel agar medium reagent assay technique \
         approach flap suture stitch theorem distribution algorithm model coma crisis aura \
         tic tics effect response wave waves loop capsule space canal fossa area areas island \
         islets apparatus membrane corpuscle corpuscles circle fissure fissures test-positive \
         chart spine lobe syndromes manoeuvres maneuvers signs cirrhosis chain chains exposure \
         paralysis mottling diverticulum ulcer nevus granulomatosis \
         disorder convention amendment act plot lemma conjecture principle number transform \
         inequality iteration process \
         estimates estimate salad mustard sauce cheese protein output hump contractions milestones \
         nomogram integral series matrix equations";
    /// States and territories in two letters.
    STATE = 31,
        "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv \
         nh nj nm ny nc nd oh ok or pa ri sc sd tn tx ut vt va wa wv wi wy dc pr vi gu as mp \
         ae ap aa fm mh pw";
    /// Proper nouns that are no person's name: states, countries, peoples, makers, programs.
    PROPER = 32,
        "alabama alaska arizona arkansas california colorado connecticut delaware florida \
         georgia hawaii idaho illinois indiana iowa kansas kentucky louisiana maine maryland \
         massachusetts michigan minnesota mississippi missouri montana nebraska nevada ohio \
         oklahoma oregon pennsylvania tennessee texas utah vermont virginia washington \
         wisconsin wyoming america american americans england english scotland ireland irish \
         wales france french germany german italy italian spain spanish portugal china \
         chinese japan japanese india indian mexico mexican canada canadian brazil russia \
         russian africa african asia asian europe european hispanic latino caucasian jewish \
         christian muslim hindu catholic korea korean vietnam vietnamese israel iran iraq \
         turkey turkish egypt nigeria kenya poland polish greece greek sweden norway denmark \
         finland dutch swiss australia australian latin claude anthropic sonnet opus haiku \
         fable mythos jenkins travis docker kubernetes grafana prometheus jupyter maven \
         gradle alexa siri cortana watson kafka cassandra lucene pascal perl dart swift \
         ansible helm django flask julia ruby java python rust redis nginx apache oracle \
         tesla ford chevrolet honda toyota boeing aetna cigna humana kaiser epic cerner \
         medtronic abbott pfizer merck bayer novartis roche walgreens walmart target costco \
         medicare medicaid samsung siemens philips stryker baxter google amazon linux ubuntu \
         debian windows microsoft apple github christmas easter thanksgiving passover ramadan \
         internet wifi bluetooth tylenol advil aleve motrin hebrew arabic cyrillic unicode";
    /// Small words within a name.
    PARTICLE = 33,
        "van von der den de del della di da dos du la le bin ibn al el ter ten san st abu y e \
         and & af ap ben bint";
    /// A person is said to live or come from the place that follows.
    LIVES = 34,
        "lives living live resides residing reside moved relocated raised grew native \
         hometown lived resided visiting traveled travelled residence went flew drove moving \
         moves returned born";
    /// Things a name belongs to that is no person's.
    THING = 35,
        "file host hostname table column tool model event function service project branch \
         package class type domain db database schema drug med medication medications test \
         facility hospital org organization organisation company product field group team \
         session job step image container namespace cluster node bucket region app \
         application program software module library variable param parameter method header \
         brand trade generic plan payer payor insurer department ward unit room location site \
         clinic lab panel procedure code measure metric label color colour form template \
         workflow process thread queue topic command script dataset sheet layer font style \
         theme category status role action trigger rule policy vendor manufacturer supplier \
         study protocol device display system vocabulary version";
    /// Words about measuring: a number near is a quantity.
    QUANTITY = 36,
        "mg mcg ml kg lb lbs cm mm bpm mmhg units unit iu meq mmol cc hr rr bp hgb wbc plt \
         glucose dose doses tablet tablets capsule capsules score pain strength grade stage \
         version temp spo2 pulse weight height bmi gfr icd cpt loinc snomed ndc hcpcs rxnorm \
         drg oid atc cas unii upc isbn doi sha commit checksum hash digest build port pid \
         line lines rev revision apgar";
    /// System times.
    CREATED = 37,
        "created updated modified timestamp ts lastupdated lastmodified generated logged \
         ingested createdat updatedat issuedat exported fetched cached indexed etag versionid";
    /// Web and machine addresses: no street.
    MACHINE = 38,
        "ip ipv4 ipv6 mac url uri wallet memory host server remote web http gateway bind \
         listen network subnet dns loopback";
    /// Secrets.
    SECRET = 39,
        "secret apikey token credential credentials bearer \
         authorization accesskey secretkey privatekey clientsecret authtoken accesstoken \
         refreshtoken accountkey sharedaccesskey jsessionid phpsessid csrf xsrf csrftoken \
         xsrftoken csrfmiddlewaretoken";
    /// Passwords for sure.
    PASSWORD = 50, "password passwd pwd passphrase passcode";
    /// Passwords, or something that was passed: the value must look like one.
    PASS = 51, "pass pw pswd sid sessid";
    /// An age over 89 in words begins or ends with it.
    OLD = 52, "ninety hundred";
    /// The number of a house in words.
    COUNT = 53,
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen \
         fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy \
         eighty ninety";
    /// Words of theorems, methods and findings: what stands before them is no person.
    LAW = 54,
        "inequality theorem lemma conjecture theory equation equations method chain chains protein \
         contractions stage syndrome syndromes algorithm distribution transform";
    /// Names to log in by.
    LOGIN = 55, "login username logname loginname loginid usr usrname userlogin logon";
    /// Who does something in a system: a login or a name.
    OWNER = 56, "user users owner author creator committer assignee maintainer uid";
    /// Somebody who uses a system.
    USER = 57, "user";
    /// Who did it follows (`created_by`).
    BY = 58, "by";
    /// The folder that holds those of users.
    HOME = 59, "home users";
    /// Commands that take a password as an argument.
    COMMAND = 60,
        "mysql mysqldump mysqladmin mariadb sshpass mongosh ldapsearch curl smbclient";
    /// A password follows in a statement.
    IDENTIFIED = 61, "identified";
    /// What secrets of issuers begin with.
    ISSUER = 62,
        "sg shpat shpss shpca shppa glsa glc hvs hvb lin figd sntrys sntryu rubygems dckr whsec \
         pmak dop doo dor glrt gldt glptt gloas glcbt nrak nvapi gsk xai tskey cfpat pscale sbp \
         tvly pplx key pat xapp xoxc xoxd xoxo sgp age";
    /// Cookies: each of their values is a secret.
    COOKIE = 63, "cookie cookies setcookie";
    /// A call, and so perhaps a number.
    CALL = 42,
        "call calls contact text sms dial hotline ext reach reached ring page message \
         messages handy contacts answered";
    /// Names for sure.
    FULL_NAME = 43,
        "fullname firstname lastname surname forename givenname familyname fname lname mname \
         middlename nickname maiden patientname pname ptname mothersmaidenname preferredname \
         legalname firstnm lastnm vorname nachname prenom apellido lastnames firstnames \
         surnames mi initials inits";
    /// Discoverers: alone, their names are things of medicine.
    DISCOVERER = 44,
        "parkinson parkinsons alzheimer alzheimers crohn crohns hodgkin hodgkins foley \
         huntington huntingtons graves hashimoto hashimotos tourette tourettes bell bells \
         down downs pratt swan ganz babinski murphy mcburney romberg weber rinne willis \
         sylvian barrett barretts addison addisons cushing cushings raynaud raynauds marfan \
         sjogren sjogrens hickman penrose broviac quinton tenckhoff kocher allis braden \
         glasgow apgar guillain barre charcot marie tooth paget pagets whipple billroth \
         lachman homans mallory weiss wilson wilsons allen tinel phalen phalens trendelenburg \
         valsalva heimlich kegel mantoux kernig brudzinski chvostek trousseau cullen turner \
         turners klinefelter edwards patau prader willi angelman rett asperger aspergers lou \
         gehrig wernicke korsakoff broca ewing ewings wilms kaposi burkitt sezary langerhans \
         kupffer purkinje schwann cowper bartholin bartholins skene peyer peyers hirschsprung \
         meckel meckels zenker monro dupuytren dupuytrens colles smith salter harris ilizarov \
         bankart hill sachs neer hawkins speed yergason thompson mcmurray apley ober thomas \
         faber patrick lasegue kerr rovsing blumberg boas grey courvoisier virchow sister \
         mary joseph still stills reiter reiters behcet behcets kawasaki takayasu wegener \
         wegeners churg strauss henoch schonlein goodpasture alport gaucher niemann pick tay \
         fabry pompe hurler hunter krabbe leigh osler rendu von willebrand bernard soulier \
         glanzmann fanconi diamond blackfan diGeorge digeorge bruton wiskott aldrich chediak \
         higashi job lyme stevens johnson ludwig fournier gram ziehl neelsen giemsa wright \
         papanicolaou pap doppler holter cheyne stokes kussmaul biot korotkoff erb klumpke \
         sprengel scheuermann perthes legg calve osgood schlatter sever kohler freiberg baker \
         bakers morton jones lisfranc maisonneuve galeazzi monteggia bennett boxer segond \
         tillaux jefferson hangman chance rolando barton luc caldwell nissen heller roux \
         hartmann miles mcvay bassini lichtenstein shouldice mohs karydakis fontan norwood \
         glenn mustard jatene ross blalock taussig braun epworth hamilton beck rorschach \
         wechsler stanford binet rankin barthel karnofsky zubrod morse norton waterlow rass \
         ramsay aldrete mallampati cormack lehane macintosh bovie yankauer kelly mayo \
         metzenbaum adson debakey bookwalter balfour gelpi weitlaner deaver harrington army \
         balkan richmond kirschner steinmann gigli lister hemovac blake dobhoff levin salem \
         sengstaken blakemore minnesota coude malecot fogarty kangaroo groshong hohn epstein \
         barr coxsackie marburg hanta norwalk newcastle moraxella krukenberg brenner leydig \
         sertoli gleason breslow clark fuhrman ann arbor dukes rai bismuth child pugh ranson \
         balthazar hunt hess fisher sokolow lyon bazett fick frank starling swann poisson \
         gauss bayes markov fourier laplace turing newton kelvin celsius fahrenheit hertz \
         tesla ohm pascal joule watt ampere volta bence braxton cauchy carlo klinefelter leopold";
    /// What a person does: a name stands before it.
    VERB = 46,
        "reports reported states stated denies denied presents presented complains complained \
         admits endorses tolerates tolerated ambulates ambulated verbalizes verbalized called \
         asked said says explained lives works feels felt told wants wrote thinks refuses \
         refused agrees agreed aware gave arrived came picked notified requests requested c \
         confirms confirmed brought drove remains seems understands takes took tolerating \
         resting sleeping awake visited replied writes mentioned noted here";
    /// Words before the person a message is for.
    ADDRESSEE = 47,
        "for re from to cc bcc attn fao who";
    /// Cars, beside which a plate stands.
    CAR = 48,
        "tag tags car cars van suv sedan pickup motorcycle";
    /// Words that make a key a secret.
    ACCESS = 49, "api access private signing encryption client";
    /// Countries a postal address ends with, and other lower words that end a place.
    NONE = 40,
        "none null nil unknown n/a na true false yes no nan undefined redacted anonymous";
    /// Words of persons that begin a sentence or a form and are no name themselves.
    STOP = 41,
        "the a an and or but of in on at to for with without by from as is was were be been \
         has have had he she they we i you it his her their our your my this that these those \
         there here when where who what which why how if then than so not no yes do does did \
         can could will would should may might must shall please also only very more most all \
         any some each every both either neither new old good bad high low left right upper \
         lower per via vs date time phone fax email dob mrn ssn sex gender race male female \
         address city state zip notes note re subject chief complaint history physical \
         assessment plan labs vitals exam medications allergies diagnosis impression findings \
         indication technique comparison procedure summary report discharge admission consult \
         progress telephone encounter operative emergency department er ed icu pacu nicu ward \
         unit room bed today tomorrow yesterday accession order result results normal \
         abnormal positive negative denies reports states continue follow call called seen \
         given discussed discuss known status post information number id npi dea icd cpt \
         signature electronically signed dictated insurance member policy string boolean \
         integer varchar usize promise";
}

static TABLE: LazyLock<HashMap<u64, Cues, ByHash>> = LazyLock::new(|| {
    let mut table: HashMap<u64, Cues, _> = HashMap::default();
    for (cue, words) in WORDS {
        for word in words.split_ascii_whitespace() {
            let entry = table.entry(lexicon::hash(word.as_bytes())).or_insert(Cues(0));
            *entry = entry.or(*cue);
        }
    }
    table
});

/// What the word with this [`lexicon::hash`] announces.
#[must_use]
pub fn cues(hash: u64) -> Cues {
    TABLE.get(&hash).copied().unwrap_or_default()
}

/// For tables whose keys are [`lexicon::hash`]es already.
pub type ByHash = BuildHasherDefault<Hashed>;

/// Gives a key as its own hash.
#[derive(Debug, Default)]
pub struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str) -> Cues {
        cues(lexicon::hash(word.as_bytes()))
    }

    #[test]
    fn a_word_may_announce_several_things() {
        assert!(of("member").has(Cues::PLAN) && of("member").has(Cues::PERSON));
        assert!(of("md").has(Cues::STATE) && of("md").has(Cues::CREDENTIAL));
        assert!(of("walrus").is_none());
    }
}
